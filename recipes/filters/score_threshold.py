"""Responses that score high enough."""

import numpy as np

from ...orchestrator.filtering import Decision
from .measured import drop_where


def filter_score_threshold(rows: np.ndarray, *, min_score: float) -> Decision:
    """Keep responses (of a pair, the chosen one) with a score of `min_score` or more: AlpaGasus, arXiv 2307.08701,
    which keeps ChatGPT's ratings of 4.5 and more (not verified). Drop reason: `low_score`."""
    assert not np.isnan(rows["score"]).any(), "a threshold of scores comes with a pairing by scores"
    return Decision(dropped=drop_where(low_score=rows["score"] < min_score))
