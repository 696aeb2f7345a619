"""Pairs whose rejected response is good and long, and whose margin is small."""

import numpy as np

from ...orchestrator.filter_config import RipFilter, Threshold
from ...orchestrator.filtering import Decision
from ..pairing.candidates import MEAN_DECIMALS
from .measured import drop_where


def filter_rip(rows: np.ndarray, *, config: RipFilter) -> Decision:
    """Keep a pair whose rejected score and length are at least, and whose margin is at most, their thresholds: RIP,
    arXiv 2501.18578, which takes the 50th percentile of each.

    A quantile is that of the round's pairs, linear between neighbours; what lies on a threshold is kept. Whether the
    paper counts tokens or characters is not verified. Drop reasons, in this order: `low_rejected_score`,
    `short_rejected`, `wide_margin`.
    """
    if not len(rows):
        return Decision(dropped=())
    scores, lengths, margins = rows["rejected_score"], rows[f"rejected_{config.unit}"], rows["margin"]
    assert not np.isnan(scores).any() and not np.isnan(margins).any(), "RIP comes with a pairing by scores"
    limits = {
        "rejected_score": _limit(scores, config.rejected_score),
        "rejected_length": _limit(lengths, config.rejected_length),
        "margin": _limit(margins, config.margin),
    }
    dropped = drop_where(
        low_rejected_score=scores < limits["rejected_score"],
        short_rejected=lengths < limits["rejected_length"],
        wide_margin=margins > limits["margin"],
    )
    return Decision(dropped=dropped, limits=limits)


def _limit(values: np.ndarray, threshold: Threshold) -> float:
    """Rounded as scores are: interpolation's noise puts no value on the other side of itself."""
    if threshold.by == "value":
        return threshold.at
    return round(float(np.quantile(values, threshold.at)), MEAN_DECIMALS)
