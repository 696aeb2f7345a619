"""Nothing is learnt."""

from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from ...orchestrator.fields import STRICT
from ...orchestrator.parts.objective import Needed, ObjectivePart, Trained
from ...orchestrator.parts.registry import part


@part("objective")
@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class NoObjective(ObjectivePart):
    """Nothing is learnt: the round makes pairs for later ones, and publishes the policy that it began with."""

    kind: Literal["none"]
    trains: ClassVar[Trained] = "nothing"
    needs_reference: ClassVar[Needed] = "never"

    def sentence(self) -> str:
        return "Nothing: what is made is for later rounds."
