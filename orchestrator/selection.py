"""Early stopping, and which moment of an update is kept: a measure on held-out pairs decides, not the last step."""

from collections.abc import Sequence
from dataclasses import dataclass

from .config import SelectionConfig
from .errors import RunError

# What the metrics of the objectives call accuracy.
ACCURACIES = ("rewards/accuracies", "accuracy")


@dataclass(kw_only=True, slots=True)
class Selection:
    """The best of the measurements so far. Of equal ones the earliest is the best."""

    config: SelectionConfig
    best: int | None = None  # steps before the best measurement
    value: float = float("-inf")
    stale: int = 0  # measurements since the best

    @classmethod
    def of(cls, config: SelectionConfig, steps: Sequence[dict[str, float]]) -> "Selection":
        """With what the steps of an interrupted update have measured."""
        selection = cls(config=config)
        for number, step in enumerate(steps, start=1):
            if "heldout/loss" in step:
                selection.add(step, number)
        return selection

    def due(self, before: int, now: int) -> bool:
        """Whether a measurement falls due between two numbers of steps."""
        return now // self.config.every_steps > before // self.config.every_steps

    def add(self, step: dict[str, float], number: int) -> bool:
        """Take a measurement, made after `number` steps; whether it is the best so far.

        Raises:
            RunError: the objective has no such metric on these pairs.
        """
        if self.config.metric == "loss":
            value = -step["heldout/loss"]
        else:
            found = [step[f"heldout/{name}"] for name in ACCURACIES if f"heldout/{name}" in step]
            if not found:
                raise RunError(
                    "learner.selection.metric=accuracy, but the objective has no accuracy on the held-out pairs",
                    "set learner.selection.metric=loss",
                )
            value = found[0]
        better = value > self.value
        self.stale = 0 if better else self.stale + 1
        if better:
            self.best, self.value = number, value
        return better

    @property
    def stopped(self) -> bool:
        return self.config.patience is not None and self.stale >= self.config.patience
