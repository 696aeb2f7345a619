"""As many right verdicts for the response that is shown first as for the second."""

from functools import partial
from typing import ClassVar, Literal

import numpy as np

from ...orchestrator.data.filtering import Decision
from ...orchestrator.parts.filter import Decide, FilterPart
from ...orchestrator.parts.registry import part
from .judgments import drawn


@part("filter")
class BalancedVerdictsFilter(FilterPart):
    """As many right verdicts for the response that is shown first as for the second (Self-Taught Evaluator, arXiv
    2408.02666). Drop reason: `common_verdict`."""

    kind: Literal["balanced_verdicts"]
    whole_round: ClassVar[bool] = True
    right_by: ClassVar[str | None] = "verdicts"

    def sentence(self) -> str:
        return "As many right verdicts for the response that is shown first as for the second."

    def build(self, seed: int) -> Decide:
        return partial(filter_balanced_verdicts, seed=seed)


def filter_balanced_verdicts(rows: np.ndarray, *, seed: int) -> Decision:
    """Keep as many right verdicts for what is shown first as for what is shown second, so that no place is learnt as
    the better one: Self-Taught Evaluator, arXiv 2408.02666. Of the more frequent ones those drawn by `seed` stay. Drop
    reason: `common_verdict`."""
    dropped: list[str | None] = [None] * len(rows)
    first = rows["rank"] < rows["other_rank"]
    sides = [np.flatnonzero(first).tolist(), np.flatnonzero(~first).tolist()]
    for side in sides:
        for index in drawn(side, rows, seed)[min(map(len, sides)) :]:
            dropped[index] = "common_verdict"
    return Decision(dropped=dropped)
