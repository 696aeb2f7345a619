"""What the core asks of a filter: which of a round's pairs, or responses, are learnt from."""

from collections.abc import Callable
from typing import Annotated, ClassVar, TypeAlias

import numpy as np
from pydantic.dataclasses import dataclass

from ..data.filtering import Decision
from ..fields import STRICT
from .registry import AnyKind, Place

# Decides on rows of `filtering.MEASURED`.
Decide: TypeAlias = Callable[[np.ndarray], Decision]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class FilterPart:
    """The traits of a filter, with their defaults."""

    kind: str
    version: ClassVar[int] = 1  # rises when the same input comes to mean something else
    keeps_all: ClassVar[bool] = False
    whole_round: ClassVar[bool] = False  # decides on all of the round at once: learning waits for its last shard
    takes_pairs: ClassVar[bool] = False  # goes by the two responses of a pair
    takes_scores: ClassVar[bool] = False  # goes by scores of the round
    drops_responses: ClassVar[bool] = False  # keeps or drops a single response: of a group the others stay
    # What it takes judgments to be right by: verdicts on two responses, or scores that order several.
    right_by: ClassVar[str | None] = None

    def check(self, at: Place) -> None:
        """Refuse values that can never decide anything.

        Raises:
            ConfigError: naming field, value and remedy.
        """

    def keeps_at_most(self) -> int | None:
        """Responses of a round, where the rule says how many."""
        return None

    def sentence(self) -> str:
        """What is learnt from."""
        raise NotImplementedError

    def build(self, seed: int) -> Decide | None:
        """The rule; `seed` is the run's for filters. None where everything is kept."""
        raise NotImplementedError


AnyFilter: TypeAlias = Annotated[FilterPart, AnyKind("filter")]
