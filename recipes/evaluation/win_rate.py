"""How often one policy's responses are preferred to another's, and how far the judge can be trusted in it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .comparisons import Comparison, points, preferred, verdicts
from .intervals import mean_interval


@dataclass(frozen=True, kw_only=True, slots=True)
class WinRate:
    """A win rate of a against b with its 95% interval (`mean_interval`), all as shares (not percent).

    `mean_probability` is the mean of the judge's probabilities, as AlpacaEval 2 counts; of a judge that scores it is
    the win rate. `swap_consistency` is the share of comparisons whose verdict is the same in both orders;
    `prefers_first` the mean probability of what stands first, less a half. Both are None where no texts that differ
    were compared in both orders.

    Example:
        WinRate(comparisons=10, unparsable=1, wins=5, ties=2, losses=2, win_rate=2/3, low=0.4, high=0.9,
                mean_probability=0.6, swap_consistency=0.8, prefers_first=0.05)
    """

    comparisons: int
    unparsable: int
    wins: int
    ties: int
    losses: int
    win_rate: float
    low: float
    high: float
    mean_probability: float
    swap_consistency: float | None
    prefers_first: float | None


def win_rate(comparisons: Sequence[Comparison]) -> WinRate | None:
    """The share of wins, ties counting half: MT-bench's rule (arXiv 2306.05685), where a response wins only if it is
    preferred in both orders, and contradicting orders are a tie. Of scores the higher one wins.

    What could not be read, in both orders or of both responses, is left out and counted. None if nothing could be read.
    """
    read = verdicts(comparisons)
    if not read:
        return None
    scores = np.array([points(verdict) for _, verdict in read])
    interval = mean_interval(scores.tolist())
    assert interval is not None
    probabilities = [one.probability for one, _ in read if one.probability is not None]
    asked = [one.orders for one, _ in read if one.orders is not None and not one.identical]
    return WinRate(
        comparisons=len(comparisons),
        unparsable=len(comparisons) - len(read),
        wins=int((scores == 1.0).sum()),
        ties=int((scores == 0.5).sum()),
        losses=int((scores == 0.0).sum()),
        win_rate=float(scores.mean()),
        low=interval[0],
        high=interval[1],
        mean_probability=float(np.mean(probabilities)),
        swap_consistency=swap_consistency(asked),
        prefers_first=first_preference(asked),
    )


def swap_consistency(orders: Sequence[tuple[float, float]]) -> float | None:
    """The share of comparisons in which both orders prefer the same response (or both neither)."""
    if not orders:
        return None
    return sum(preferred(first) == preferred(second) for first, second in orders) / len(orders)


def first_preference(orders: Sequence[tuple[float, float]]) -> float | None:
    """P(what stands first) − ½: 0 for a judge without position bias."""
    if not orders:
        return None
    return sum((first + 1.0 - second) / 2 for first, second in orders) / len(orders) - 0.5
