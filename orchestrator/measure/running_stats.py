"""Means and correlations: of numbers as they come, from sums alone, and of two rankings of the same things."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Mean:
    n: int = 0
    total: float = 0.0

    def add(self, value: float) -> None:
        self.n += 1
        self.total += value

    @property
    def value(self) -> float | None:
        return self.total / self.n if self.n else None


@dataclass
class Correlation:
    """Pearson correlation from running sums (Welford's update)."""

    n: int = 0
    mean_x: float = 0.0
    mean_y: float = 0.0
    xx: float = 0.0
    yy: float = 0.0
    xy: float = 0.0

    def add(self, x: float, y: float) -> None:
        self.n += 1
        dx, dy = x - self.mean_x, y - self.mean_y
        self.mean_x += dx / self.n
        self.mean_y += dy / self.n
        self.xx += dx * (x - self.mean_x)
        self.yy += dy * (y - self.mean_y)
        self.xy += dx * (y - self.mean_y)

    @property
    def value(self) -> float | None:
        """None where it is undefined: fewer than two points, or one side constant."""
        scale = math.sqrt(self.xx * self.yy)
        return self.xy / scale if self.n > 1 and scale > 1e-12 else None


@dataclass
class PartialCorrelation:
    """How far x and y go together beyond what a third number z says of both:
    (r_xy − r_xz·r_yz) / √((1 − r_xz²)(1 − r_yz²))."""

    xy: Correlation = field(default_factory=Correlation)
    xz: Correlation = field(default_factory=Correlation)
    yz: Correlation = field(default_factory=Correlation)

    def add(self, x: float, y: float, z: float) -> None:
        self.xy.add(x, y)
        self.xz.add(x, z)
        self.yz.add(y, z)

    @property
    def value(self) -> float | None:
        """None where it is undefined: fewer than three points, one of the three constant, or z says all of another."""
        xy, xz, yz = self.xy.value, self.xz.value, self.yz.value
        if self.xy.n < 3 or xy is None or xz is None or yz is None:
            return None
        left = (1 - xz**2) * (1 - yz**2)
        return (xy - xz * yz) / math.sqrt(left) if left > 1e-12 else None


def spearman(x: Sequence[float], y: Sequence[float]) -> float | None:
    """The correlation of ranks; equal numbers share the mean of their ranks. None where it is undefined."""
    correlation = Correlation()
    for rank_x, rank_y in zip(_ranks(x), _ranks(y), strict=True):
        correlation.add(rank_x, rank_y)
    return correlation.value


def _ranks(values: Sequence[float]) -> list[float]:
    """From 1. Of k equal numbers, the last of which is the n-th, each has the rank n − (k − 1)/2."""
    _, places, counts = np.unique(np.asarray(values, dtype=float), return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return ranks[places].tolist()
