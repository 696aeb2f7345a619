"""DPO that takes lengths into account."""

from typing import ClassVar, Literal

from ...orchestrator.fields import PositiveFloat
from ...orchestrator.parts.registry import part
from .paired import PairObjective


@part("objective")
class RDpoObjective(PairObjective):
    """Length-regularised DPO (arXiv 2403.19159): each further token of the chosen response counts `alpha`."""

    kind: Literal["r_dpo"]
    beta: PositiveFloat
    alpha: PositiveFloat
    loss: ClassVar[str] = ".pairwise:r_dpo"

    def phrase(self) -> str:
        return f"length-regularised DPO, beta {self.beta:g}: each further token of the chosen one counts {self.alpha:g}"
