"""Odds Ratio Preference Optimization."""

from typing import ClassVar, Literal

from ...orchestrator.fields import PositiveFloat
from ...orchestrator.parts.objective import Needed
from ...orchestrator.parts.registry import part
from .paired import PairObjective


@part("objective")
class OrpoObjective(PairObjective):
    """ORPO (arXiv 2403.07691): NLL of the chosen response, and the odds against the rejected one times `weight`. No
    reference."""

    kind: Literal["orpo"]
    weight: PositiveFloat
    loss: ClassVar[str] = ".reference_free:orpo"
    needs_reference: ClassVar[Needed] = "never"

    def phrase(self) -> str:
        return f"ORPO: NLL of the chosen response and, times {self.weight:g}, the odds against the rejected one"
