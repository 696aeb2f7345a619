"""A hinge on DPO's margin."""

from typing import ClassVar, Literal

from ...orchestrator.fields import PositiveFloat
from ...orchestrator.parts.registry import part
from .paired import PairObjective


@part("objective")
class HingeObjective(PairObjective):
    """A hinge on DPO's margin (RSO, arXiv 2309.06657)."""

    kind: Literal["hinge"]
    beta: PositiveFloat
    loss: ClassVar[str] = ".pairwise:hinge"

    def phrase(self) -> str:
        return f"a hinge on DPO's margin, beta {self.beta:g}"
