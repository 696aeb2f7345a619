"""Modulated Intervention Preference Optimization."""

from typing import ClassVar, Literal

from ...orchestrator.fields import PositiveFloat
from ...orchestrator.parts.objective import Needed
from ...orchestrator.parts.registry import part
from .paired import PairObjective


@part("objective")
class MipoObjective(PairObjective):
    """MIPO (arXiv 2409.17545): the less the reference tells a pair apart, the more is asked."""

    kind: Literal["mipo"]
    beta: PositiveFloat
    loss: ClassVar[str] = ".pairwise:mipo"
    needs_reference: ClassVar[Needed] = "always"

    def phrase(self) -> str:
        return f"MIPO, beta {self.beta:g}: the less the reference tells a pair apart, the more is asked"
