"""DPO with a stronger model's response beside the policy's own pair."""

from typing import ClassVar, Literal

from ...orchestrator.fields import Fraction, PositiveFloat
from ...orchestrator.parts.objective import Examples, Needed, ObjectivePart
from ...orchestrator.parts.registry import part


@part("objective")
class WrpoObjective(ObjectivePart):
    """WRPO (arXiv 2412.03187): DPO whose chosen side moves from the policy's response to a source model's."""

    kind: Literal["wrpo"]
    beta: PositiveFloat
    final_alpha: Fraction  # weight of the source model's response at the end of the round; it starts at 0
    loss: ClassVar[str] = ".micro_batches:wrpo"
    examples: ClassVar[Examples] = "sourced"
    needs_reference: ClassVar[Needed] = "always"

    def sentence(self) -> str:
        return f"WRPO, beta {self.beta:g}: DPO whose chosen side moves from the policy's response to a source model's."
