"""Preference Ranking Optimization."""

from typing import ClassVar, Literal

from ...orchestrator.fields import NonNegativeFloat
from ...orchestrator.parts.objective import Examples, Needed, ObjectivePart, Taken
from ...orchestrator.parts.registry import part


@part("objective")
class ProObjective(ObjectivePart):
    """PRO (arXiv 2306.17492): a chain of choices, each the best of what is left, and NLL of the best."""

    kind: Literal["pro"]
    sft_weight: NonNegativeFloat  # times (responses − 1)²
    loss: ClassVar[str] = ".listwise:pro"
    takes: ClassVar[Taken] = "group"
    examples: ClassVar[Examples] = "groups"
    needs_reference: ClassVar[Needed] = "never"
    ranks: ClassVar[bool] = True

    def sentence(self) -> str:
        return f"PRO: a chain of choices, each the best of what is left; NLL of the best, weight {self.sft_weight:g}."
