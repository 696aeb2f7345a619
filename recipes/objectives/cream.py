"""DPO on both labels, by how consistent rankings are."""

from typing import ClassVar, Literal

from ...orchestrator.fields import PositiveFloat
from ...orchestrator.parts.objective import Needed, ObjectivePart
from ...orchestrator.parts.registry import part


@part("objective")
class CreamObjective(ObjectivePart):
    """CREAM (arXiv 2410.12735): DPO on both labels, by how far this policy and the one before rank alike."""

    kind: Literal["cream"]
    beta: PositiveFloat
    loss: ClassVar[str] = ".micro_batches:cream"
    needs_reference: ClassVar[Needed] = "always"

    def pairs_with(self) -> Literal["consistency"]:
        return "consistency"

    def sentence(self) -> str:
        return f"CREAM, beta {self.beta:g}: DPO on both labels, by how far this policy and the last rank alike."
