"""95% intervals of means of values from 0 to 1: win rates, accuracies, shares."""

from collections.abc import Hashable, Sequence
from typing import TypeAlias

import numpy as np

Interval: TypeAlias = tuple[float, float]

Z = 1.959963984540054  # the standard normal distribution's 97.5th percentile


def mean_interval(values: Sequence[float], clusters: Sequence[Hashable] | None = None) -> Interval | None:
    """Wilson's score interval (1927) of the mean of `values`, each from 0 to 1. None without any.

    Of wins and losses it is exactly Wilson's. Values between (a tie's half) and values that share a cluster (votes on
    one prompt) vary less or more than coin throws do: then the number of values is divided by the design effect, the
    mean's variance over clusters by that of as many throws. It is estimated with z²/2 clusters of wins and as many of
    losses added, so that equal values (5 wins of 5, 8 ties of 8) leave an interval of some width.

    Example:
        >>> low, high = mean_interval([1.0] * 5)
        >>> round(low, 3), round(high, 3)
        (0.566, 1.0)
    """
    if not values:
        return None
    points = np.asarray(values, dtype=float)
    if clusters is None:
        sums, sizes = points, np.ones(len(points))
    else:
        number = {one: place for place, one in enumerate(dict.fromkeys(clusters))}
        of = np.array([number[one] for one in clusters])
        sums, sizes = np.bincount(of, weights=points), np.bincount(of).astype(float)
    low, high = score_intervals(sums[None], sizes[None])
    return float(low[0]), float(high[0])


def score_intervals(sums_BG: np.ndarray, sizes_BG: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lower and upper ends of B intervals (see `mean_interval`), each of G clusters with these sums and sizes."""
    total_B, size_B = sizes_BG.sum(axis=1), sizes_BG.mean(axis=1)
    mean_B = sums_BG.sum(axis=1) / total_B
    # The design effect, around a mean that is drawn to a half by the added clusters.
    half = Z**2 / 2
    center_B = (sums_BG.sum(axis=1) + half * size_B) / (total_B + 2 * half * size_B)
    squares_B = ((sums_BG - center_B[:, None] * sizes_BG) ** 2).sum(axis=1)
    squares_B = squares_B + half * size_B**2 * ((1 - center_B) ** 2 + center_B**2)
    throws_B = (total_B + 2 * half * size_B) * center_B * (1 - center_B)
    n_B = total_B * throws_B / squares_B
    middle_B = (mean_B + Z**2 / (2 * n_B)) / (1 + Z**2 / n_B)
    reach_B = Z * np.sqrt(mean_B * (1 - mean_B) / n_B + Z**2 / (4 * n_B**2)) / (1 + Z**2 / n_B)
    # Rounding must not leave the mean, or the scale, outside.
    return np.clip(middle_B - reach_B, 0.0, mean_B), np.clip(middle_B + reach_B, mean_B, 1.0)
