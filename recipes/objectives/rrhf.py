"""Ranking by sequence likelihood."""

from typing import ClassVar, Literal

from ...orchestrator.fields import NonNegativeFloat, PositiveFloat
from ...orchestrator.parts.objective import Examples, Needed, ObjectivePart, Taken
from ...orchestrator.parts.registry import part


@part("objective")
class RrhfObjective(ObjectivePart):
    """RRHF (arXiv 2304.05302): a better response is to be likelier a token than any worse one, and NLL of the best."""

    kind: Literal["rrhf"]
    length_exponent: NonNegativeFloat
    weight: PositiveFloat
    loss: ClassVar[str] = ".listwise:rrhf"
    takes: ClassVar[Taken] = "group"
    examples: ClassVar[Examples] = "groups"
    needs_reference: ClassVar[Needed] = "never"
    ranks: ClassVar[bool] = True

    def sentence(self) -> str:
        return "RRHF: a better response is to be likelier a token than any worse one; NLL of the best."
