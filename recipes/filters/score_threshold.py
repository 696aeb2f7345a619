"""Responses that score high enough."""

from functools import partial
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ...orchestrator.data.filtering import Decision
from ...orchestrator.parts.filter import Decide, FilterPart
from ...orchestrator.parts.registry import part
from .measured import drop_where


@part("filter")
class ScoreThresholdFilter(FilterPart):
    """Responses with a score of `min_score` or more (AlpaGasus, arXiv 2307.08701). Drop reason: `low_score`."""

    kind: Literal["score_threshold"]
    min_score: Annotated[float, Field(allow_inf_nan=False)]
    takes_scores: ClassVar[bool] = True
    drops_responses: ClassVar[bool] = True

    def sentence(self) -> str:
        return f"What scores {self.min_score:g} or more."

    def build(self, seed: int) -> Decide:
        return partial(filter_score_threshold, min_score=self.min_score)


def filter_score_threshold(rows: np.ndarray, *, min_score: float) -> Decision:
    """Keep responses (of a pair, the chosen one) with a score of `min_score` or more: AlpaGasus, arXiv 2307.08701,
    which keeps ChatGPT's ratings of 4.5 and more (not verified). Drop reason: `low_score`."""
    assert not np.isnan(rows["score"]).any(), "a threshold of scores comes with a pairing by scores"
    return Decision(dropped=drop_where(low_score=rows["score"] < min_score))
