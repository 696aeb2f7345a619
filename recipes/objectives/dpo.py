"""Direct Preference Optimization."""

from typing import ClassVar, Literal

from ...orchestrator.fields import PositiveFloat
from ...orchestrator.parts.registry import part
from .paired import PairObjective


@part("objective")
class DpoObjective(PairObjective):
    """DPO (arXiv 2305.18290): −log σ of β times the difference of the two log-ratios to the reference."""

    kind: Literal["dpo"]
    beta: PositiveFloat
    loss: ClassVar[str] = ".pairwise:dpo"

    def phrase(self) -> str:
        return f"DPO, beta {self.beta:g}"
