"""No new prompts."""

from typing import ClassVar, Literal

from ...orchestrator.config.schema import Config
from ...orchestrator.parts.new_prompts import NewPromptsPart
from ...orchestrator.parts.registry import part


@part("new_prompts")
class NoNewPrompts(NewPromptsPart):
    """A round's prompts are the training file's."""

    kind: Literal["none"]
    makes: ClassVar[bool] = False

    def number(self, prompts: int) -> int:
        return 0

    def sentence(self) -> str:
        return "All are the training file's."

    def build(self, config: Config) -> None:
        return None
