"""No filter."""

from typing import ClassVar, Literal

from ...orchestrator.parts.filter import FilterPart
from ...orchestrator.parts.registry import part


@part("filter")
class NoFilter(FilterPart):
    """Everything that pairing made is learnt from."""

    kind: Literal["none"]
    keeps_all: ClassVar[bool] = True

    def sentence(self) -> str:
        return "All of it."

    def build(self, seed: int) -> None:
        return None
