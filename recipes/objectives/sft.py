"""Likelihood of what is to be imitated."""

from typing import ClassVar, Literal

from ...orchestrator.parts.objective import Averaged, Examples, Needed, ObjectivePart
from ...orchestrator.parts.registry import part


@part("objective")
class SftObjective(ObjectivePart):
    """Supervised: the NLL of what is to be imitated, a mean over the tokens of a step, by their weights (RAFT, arXiv
    2304.06767; Chain of Hindsight, arXiv 2302.02676). Beside a loss on pairs, of a chosen response."""

    kind: Literal["sft"]
    loss: ClassVar[str] = ".micro_batches:sft"
    examples: ClassVar[Examples] = "demonstrations"
    needs_reference: ClassVar[Needed] = "never"
    has_accuracy: ClassVar[bool] = False
    may_be_added: ClassVar[bool] = True

    def added_formula(self) -> str:
        return ".micro_batches:chosen_nll"

    def averaged_over(self) -> Averaged:
        return "weights"

    def phrase(self) -> str:
        return "NLL of the chosen response"

    def sentence(self) -> str:
        return "Supervised: NLL of what is to be imitated (of a pair, the chosen response)."
