"""SPA's rolling threshold (arXiv 2406.04412, the authors' code): which margins count as noisy, from recent ones."""

from collections import deque
from dataclasses import dataclass

from ..orchestrator.parts.objective import NoiseRule
from ..recipes.losses.self_labelled import bottom_threshold


@dataclass(kw_only=True, slots=True)
class NoiseWindow:
    """The mean margins of a rank's last forward passes. Until it is full, the threshold is 0."""

    fraction: float
    margins: deque[float]

    @classmethod
    def of(cls, noise: NoiseRule | None) -> "NoiseWindow":
        """Empty; without use where no label counts as noisy."""
        if noise is None:
            return cls(fraction=0.0, margins=deque(maxlen=0))
        return cls(fraction=noise.fraction, margins=deque(maxlen=noise.window))

    def add(self, margin: float) -> None:
        self.margins.append(margin)

    def threshold(self) -> float:
        if len(self.margins) < (self.margins.maxlen or 1):
            return 0.0
        return bottom_threshold(list(self.margins), self.fraction)
