"""DPO for labels that are wrong now and then."""

from typing import ClassVar, Literal

from ...orchestrator.fields import BelowHalf, PositiveFloat
from ...orchestrator.parts.registry import part
from .paired import PairObjective


@part("objective")
class CdpoObjective(PairObjective):
    """Conservative DPO: a label is wrong with probability `label_smoothing` (a note by an author of arXiv
    2305.18290)."""

    kind: Literal["cdpo"]
    beta: PositiveFloat
    label_smoothing: BelowHalf
    loss: ClassVar[str] = ".pairwise:cdpo"

    def phrase(self) -> str:
        return f"conservative DPO, beta {self.beta:g}: a label is wrong with probability {self.label_smoothing:g}"
