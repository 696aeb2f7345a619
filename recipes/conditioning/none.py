"""No conditioning."""

from typing import ClassVar, Literal

from ...orchestrator.parts.conditioning import ConditioningContext, ConditioningPart
from ...orchestrator.parts.registry import part


@part("conditioning")
class NoConditioning(ConditioningPart):
    """Responses are learnt under the prompts that they answer."""

    kind: Literal["none"]
    says_nothing: ClassVar[bool] = True

    def sentence(self) -> str:
        return "Nothing is said of a response where it is learnt."

    def build(self, context: ConditioningContext) -> None:
        return None
