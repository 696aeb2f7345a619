"""The best-scored responses of a round."""

import math

import numpy as np

from ...orchestrator.filtering import Decision
from ..pairing.candidates import MEAN_DECIMALS
from .measured import keep_highest


def filter_top_fraction(rows: np.ndarray, *, fraction: float) -> Decision:
    """Keep the `fraction` of the round's responses (of a pair, the chosen one) that score highest: RAFT's global
    ranking, arXiv 2304.06767, with 20%. Their number is rounded down, but one stays. Drop reason: `not_top`."""
    scores = rows["score"]
    assert not np.isnan(scores).any(), "a ranking by scores comes with a pairing by scores"
    count = max(1, math.floor(round(fraction * len(scores), MEAN_DECIMALS)))  # 0.29 · 100 is a hair under 29
    return Decision(dropped=keep_highest(scores, count, "not_top"))
