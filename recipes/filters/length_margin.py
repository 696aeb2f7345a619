"""Pairs whose chosen response is not much longer than the rejected one."""

import numpy as np

from ...orchestrator.filter_config import Unit
from ...orchestrator.filtering import Decision
from .measured import drop_where


def filter_length_margin(rows: np.ndarray, *, max_excess: int, unit: Unit) -> Decision:
    """Keep a pair whose chosen response is at most `max_excess` longer than the rejected one, so that length teaches
    less of the preference. A rule of this project's, after no paper. Drop reason: `long_chosen`."""
    return Decision(dropped=drop_where(long_chosen=rows[unit] - rows[f"rejected_{unit}"] > max_excess))
