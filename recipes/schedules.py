"""Learning-rate schedules over the progress of a round's update, not over steps: dropped prompts do not bend them."""

import math
from typing import Literal


def learning_rate_factor(
    progress: float,
    *,
    schedule: Literal["constant", "linear", "cosine"],
    warmup_fraction: float,
    final_fraction: float,
) -> float:
    """The factor on the peak learning rate when `progress` of the round's update lies behind, in [0, 1].

    Linear warm-up from 0 over `warmup_fraction`, then constant, linear or cosine down to `final_fraction`. Without
    drops and warm-up, linear gives (total − k)/total at step k, as transformers' linear schedule does.

    Example:
        >>> learning_rate_factor(0.5, schedule="linear", warmup_fraction=0.0, final_fraction=0.0)
        0.5
    """
    if progress < warmup_fraction:
        return progress / warmup_fraction
    if schedule == "constant":
        return 1.0
    done = (progress - warmup_fraction) / (1.0 - warmup_fraction) if warmup_fraction < 1.0 else 1.0
    left = 1.0 - done if schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
    return final_fraction + (1.0 - final_fraction) * left
