"""Nothing is learnt."""

from typing import ClassVar, Literal

from ...orchestrator.parts.objective import Needed, ObjectivePart, Trained
from ...orchestrator.parts.registry import part


@part("objective")
class NoObjective(ObjectivePart):
    """Nothing is learnt: the round makes pairs for later ones, and publishes the policy that it began with."""

    kind: Literal["none"]
    trains: ClassVar[Trained] = "nothing"
    needs_reference: ClassVar[Needed] = "never"

    def sentence(self) -> str:
        return "Nothing: what is made is for later rounds."
