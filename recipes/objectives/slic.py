"""Sequence likelihood calibration."""

from typing import ClassVar, Literal

from ...orchestrator.fields import NonNegativeFloat, PositiveFloat
from ...orchestrator.parts.objective import Needed
from ...orchestrator.parts.registry import part
from .paired import PairObjective


@part("objective")
class SlicObjective(PairObjective):
    """SLiC-HF (arXiv 2305.10425): log-probs apart by `delta`, and NLL of the chosen response times `weight`. No
    reference."""

    kind: Literal["slic"]
    delta: PositiveFloat
    weight: NonNegativeFloat
    loss: ClassVar[str] = ".reference_free:slic"
    needs_reference: ClassVar[Needed] = "never"

    def phrase(self) -> str:
        return f"SLiC: log-probs apart by {self.delta:g}, and NLL of the chosen response times {self.weight:g}"
