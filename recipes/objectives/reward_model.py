"""A reward model, trained on pairs."""

from typing import ClassVar, Literal

from ...orchestrator.fields import NonNegativeFloat
from ...orchestrator.parts.objective import Needed, ObjectivePart, Taken, Trained
from ...orchestrator.parts.registry import part


@part("objective")
class RewardModelObjective(ObjectivePart):
    """A scalar head on the policy's backbone, trained on pairs (Bradley-Terry). The policy itself stays as it is in
    such a round."""

    kind: Literal["reward_model"]
    centring: NonNegativeFloat
    margin: Literal["none", "score"]  # what the chosen response must be ahead by: nothing, or the pair's score margin
    loss: ClassVar[str] = ".micro_batches:reward_model"
    takes: ClassVar[Taken] = "scores"
    trains: ClassVar[Trained] = "reward_model"
    needs_reference: ClassVar[Needed] = "never"
    measures_heldout: ClassVar[bool] = True

    def pairs_with(self) -> Literal["margin"] | None:
        return "margin" if self.margin == "score" else None

    def sentence(self) -> str:
        ahead = ", ahead by the margin of their scores" if self.margin == "score" else ""
        return f"A reward model, not the policy: the chosen response scores higher than the rejected one{ahead}."
