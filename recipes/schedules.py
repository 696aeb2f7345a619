"""Learning-rate schedules over the progress of a round's update, not over steps: dropped prompts do not bend them."""

import math
from typing import Literal


def learning_rate_factor(
    progress: float,
    *,
    end: float,
    schedule: Literal["constant", "linear", "cosine"],
    warmup_fraction: float,
    final_fraction: float,
) -> float:
    """The factor on the peak learning rate of a step that begins when `progress` of the round's update lies behind,
    and ends when `end` does, both in [0, 1].

    Linear warm-up over `warmup_fraction` to the peak, as far as the step's end is on the way: no step has rate 0, and
    a warm-up shorter than a step is none. Then constant, linear or cosine down to `final_fraction`, by the step's
    beginning: without drops and warm-up, linear gives (total − k)/total at step k, as transformers' linear schedule
    does.

    Example:
        >>> learning_rate_factor(0.5, end=0.75, schedule="linear", warmup_fraction=0.0, final_fraction=0.0)
        0.5
        >>> learning_rate_factor(0.0, end=0.25, schedule="linear", warmup_fraction=0.5, final_fraction=0.0)
        0.5
    """
    warm = min(1.0, end / warmup_fraction) if warmup_fraction > 0 else 1.0
    if schedule == "constant" or warmup_fraction == 1.0:
        return warm
    done = max(0.0, (progress - warmup_fraction) / (1.0 - warmup_fraction))
    left = 1.0 - done if schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
    return warm * (final_fraction + (1.0 - final_fraction) * left)
