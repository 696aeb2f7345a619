"""Identity Preference Optimization."""

from typing import ClassVar, Literal

from ...orchestrator.fields import PositiveFloat
from ...orchestrator.parts.registry import part
from .paired import PairObjective


@part("objective")
class IpoObjective(PairObjective):
    """IPO (arXiv 2310.12036): the log-ratios are to differ by 1/(2β)."""

    kind: Literal["ipo"]
    beta: PositiveFloat
    tokens: Literal["sum", "mean"]
    loss: ClassVar[str] = ".pairwise:ipo"

    def phrase(self) -> str:
        return f"IPO, beta {self.beta:g}: the log-ratios ({self.tokens} over tokens) are to differ by 1/(2 beta)"
