"""Odds Ratio Preference Optimization."""

from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from ...orchestrator.fields import STRICT, PositiveFloat
from ...orchestrator.parts.objective import Needed
from ...orchestrator.parts.registry import part
from .paired import PairObjective


@part("objective")
@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class OrpoObjective(PairObjective):
    """ORPO (arXiv 2403.07691): NLL of the chosen response, and the odds against the rejected one times `weight`. No
    reference."""

    kind: Literal["orpo"]
    weight: PositiveFloat
    loss: ClassVar[str] = ".reference_free:orpo"
    needs_reference: ClassVar[Needed] = "never"

    def phrase(self) -> str:
        return f"ORPO: NLL of the chosen response and, times {self.weight:g}, the odds against the rejected one"
