"""DPO that is unbiased where labels are wrong now and then."""

from typing import ClassVar, Literal

from ...orchestrator.fields import BelowHalf, PositiveFloat
from ...orchestrator.parts.registry import part
from .paired import PairObjective


@part("objective")
class RdpoObjective(PairObjective):
    """Robust DPO (arXiv 2403.00409): unbiased where a label is wrong with probability `label_smoothing`."""

    kind: Literal["rdpo"]
    beta: PositiveFloat
    label_smoothing: BelowHalf
    loss: ClassVar[str] = ".pairwise:rdpo"

    def phrase(self) -> str:
        return (
            f"robust DPO, beta {self.beta:g}: unbiased where a label is wrong with probability {self.label_smoothing:g}"
        )
