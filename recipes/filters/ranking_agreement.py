"""Judgments whose scores order the responses to a prompt as they are ranked."""

import math
from functools import partial
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ...orchestrator.data.filtering import Decision
from ...orchestrator.parts.filter import Decide, FilterPart
from ...orchestrator.parts.registry import part
from ..pairing.candidates import MEAN_DECIMALS
from .judgments import drawn, grouped


@part("filter")
class RankingAgreementFilter(FilterPart):
    """Scores by the additive rubric that order the responses to a prompt as they are ranked (EFT of Self-Rewarding,
    arXiv 2401.10020). Drop reasons: `alone`, `disagrees`, `common_score`."""

    kind: Literal["ranking_agreement"]
    max_share: Annotated[float, Field(gt=0, le=1)] | None  # of what agrees, with one and the same score; null: no limit
    whole_round: ClassVar[bool] = True
    drops_responses: ClassVar[bool] = True
    right_by: ClassVar[str | None] = "scores"

    def sentence(self) -> str:
        limit = "" if self.max_share is None else f"; one score makes up at most {self.max_share:.0%} of them"
        return f"Judgments whose scores order the responses to a prompt as they are ranked{limit}."

    def build(self, seed: int) -> Decide:
        return partial(filter_ranking_agreement, max_share=self.max_share, seed=seed)


def filter_ranking_agreement(rows: np.ndarray, *, max_share: float | None, seed: int) -> Decision:
    """Keep scores that order the responses to a prompt as they are ranked: EFT of Self-Rewarding, arXiv 2401.10020.

    The judgments of one sample number, one a response, are one attempt at the order. Each better-ranked response must
    score higher (that ties do not agree is not verified); what could not be read is not part of the attempt, and an
    attempt of a single judgment orders nothing. Of the judgments left, those that give one score may be at most
    `max_share` of them all: the paper's were too many with a score of 4 (how it drew fewer is not verified). Who goes
    is drawn by `seed`. Drop reasons: `alone`, `disagrees`, `common_score`.
    """
    dropped: list[str | None] = [None] * len(rows)
    for attempt in grouped(rows["source"], rows["sample"]):
        ordered = sorted(attempt, key=lambda index: rows["rank"][index])
        agrees = bool((np.diff(rows["score"][ordered]) < 0).all())
        for index in attempt:
            dropped[index] = "alone" if len(attempt) < 2 else None if agrees else "disagrees"
    left = [index for index, reason in enumerate(dropped) if reason is None]
    if max_share is None or not left:
        return Decision(dropped=dropped)
    most = max(1, math.floor(round(max_share * len(left), MEAN_DECIMALS)))
    for same in grouped(rows["score"][left]):
        for index in drawn([left[place] for place in same], rows, seed)[most:]:
            dropped[index] = "common_score"
    return Decision(dropped=dropped, limits={"judgments_of_one_score": most})
