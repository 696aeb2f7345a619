"""The longest responses of a round."""

from functools import partial
from typing import ClassVar, Literal

import numpy as np

from ...orchestrator.data.filtering import Decision
from ...orchestrator.fields import PositiveInt
from ...orchestrator.parts.filter import Decide, FilterPart
from ...orchestrator.parts.registry import part
from .measured import Unit, keep_highest


@part("filter")
class LongestFilter(FilterPart):
    """The round's `count` longest responses (Long-is-more, arXiv 2402.04833). Drop reason: `not_longest`."""

    kind: Literal["longest"]
    count: PositiveInt
    unit: Unit
    whole_round: ClassVar[bool] = True
    drops_responses: ClassVar[bool] = True

    def keeps_at_most(self) -> int:
        return self.count

    def sentence(self) -> str:
        return f"The {self.count} longest of the round, in {self.unit}."

    def build(self, seed: int) -> Decide:
        return partial(filter_longest, count=self.count, unit=self.unit)


def filter_longest(rows: np.ndarray, *, count: int, unit: Unit) -> Decision:
    """Keep the round's `count` longest responses (of a pair, the chosen one): Long-is-more, arXiv 2402.04833, which
    keeps 1,000 (not verified). Drop reason: `not_longest`."""
    return Decision(dropped=keep_highest(rows[unit], count, "not_longest"))
