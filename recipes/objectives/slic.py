"""Sequence likelihood calibration."""

from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from ...orchestrator.fields import STRICT, NonNegativeFloat, PositiveFloat
from ...orchestrator.parts.objective import Needed
from ...orchestrator.parts.registry import part
from .paired import PairObjective


@part("objective")
@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
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
