"""No new prompts."""

from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from ...orchestrator.config.schema import Config
from ...orchestrator.fields import STRICT
from ...orchestrator.parts.new_prompts import NewPromptsPart
from ...orchestrator.parts.registry import part


@part("new_prompts")
@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
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
