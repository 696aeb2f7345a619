"""Simple Preference Optimization."""

from typing import ClassVar, Literal

from ...orchestrator.fields import NonNegativeFloat, PositiveFloat
from ...orchestrator.parts.objective import Needed
from ...orchestrator.parts.registry import part
from .paired import PairObjective


@part("objective")
class SimpoObjective(PairObjective):
    """SimPO (arXiv 2405.14734): mean log-probs a token, apart by a margin of `gamma`. No reference."""

    kind: Literal["simpo"]
    beta: PositiveFloat
    gamma: NonNegativeFloat  # the margin itself, not divided by beta
    loss: ClassVar[str] = ".reference_free:simpo"
    needs_reference: ClassVar[Needed] = "never"

    def phrase(self) -> str:
        return f"SimPO, beta {self.beta:g}: mean log-probs a token, apart by a margin of {self.gamma:g}"
