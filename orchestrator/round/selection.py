"""Early stopping, and which moment of an update is kept: a measure on held-out pairs decides, not the last step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..config.schema import SelectionConfig
from ..data.finite import require_finite
from ..errors import RunError

# What the metrics of the objectives call accuracy.
ACCURACIES = ("rewards/accuracies", "accuracy")


def goodness(measured: Mapping[str, float], metric: Literal["loss", "accuracy"], field: str) -> float:
    """What `Learner.measure` found on the held-out pairs as one number, higher for better.

    Raises:
        RunError: the objective has no such metric on these pairs, which `field` of the configuration asks for; or it
            is not finite.
    """
    if metric == "loss":
        require_finite(f"{field}: the loss on the held-out pairs", [measured["loss"]])
        return -measured["loss"]
    found = [measured[name] for name in ACCURACIES if name in measured]
    if not found:
        raise RunError(
            f"{field}.metric=accuracy, but the objective has no accuracy on the held-out pairs",
            f"set {field}.metric=loss",
        )
    require_finite(f"{field}: the accuracy on the held-out pairs", found)
    return found[0]


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
        measured = {name.removeprefix("heldout/"): value for name, value in step.items() if name.startswith("heldout/")}
        value = goodness(measured, self.config.metric, "learner.selection")
        better = value > self.value
        self.stale = 0 if better else self.stale + 1
        if better:
            self.best, self.value = number, value
        return better

    @property
    def stopped(self) -> bool:
        return self.config.patience is not None and self.stale >= self.config.patience
