"""The best-scored responses of a round."""

import math
from functools import partial
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ...orchestrator.data.filtering import Decision
from ...orchestrator.parts.filter import Decide, FilterPart
from ...orchestrator.parts.registry import part
from ..pairing.candidates import MEAN_DECIMALS
from .measured import keep_highest


@part("filter")
class TopFractionFilter(FilterPart):
    """The best-scored share of the round's responses (RAFT's global ranking, arXiv 2304.06767). Drop reason:
    `not_top`."""

    kind: Literal["top_fraction"]
    fraction: Annotated[float, Field(gt=0, le=1)]
    whole_round: ClassVar[bool] = True
    takes_scores: ClassVar[bool] = True
    drops_responses: ClassVar[bool] = True

    def sentence(self) -> str:
        return f"The best {self.fraction:.0%} of the round, whichever prompts they answer."

    def build(self, seed: int) -> Decide:
        return partial(filter_top_fraction, fraction=self.fraction)


def filter_top_fraction(rows: np.ndarray, *, fraction: float) -> Decision:
    """Keep the `fraction` of the round's responses (of a pair, the chosen one) that score highest: RAFT's global
    ranking, arXiv 2304.06767, with 20%. Their number is rounded down, but one stays. Drop reason: `not_top`."""
    scores = rows["score"]
    assert not np.isnan(scores).any(), "a ranking by scores comes with a pairing by scores"
    count = max(1, math.floor(round(fraction * len(scores), MEAN_DECIMALS)))  # 0.29 · 100 is a hair under 29
    return Decision(dropped=keep_highest(scores, count, "not_top"))
