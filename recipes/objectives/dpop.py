"""DPO that keeps chosen responses likely."""

from typing import ClassVar, Literal

from ...orchestrator.fields import PositiveFloat
from ...orchestrator.parts.registry import part
from .paired import PairObjective


@part("objective")
class DpopObjective(PairObjective):
    """DPO-Positive (arXiv 2402.13228): DPO, with a penalty where the chosen response gets unlikelier."""

    kind: Literal["dpop"]
    beta: PositiveFloat
    penalty: PositiveFloat
    loss: ClassVar[str] = ".pairwise:dpop"

    def phrase(self) -> str:
        return f"DPO-Positive, beta {self.beta:g}, penalty {self.penalty:g} where the chosen response gets unlikelier"
