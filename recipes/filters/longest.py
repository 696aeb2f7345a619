"""The longest responses of a round."""

import numpy as np

from ...orchestrator.filter_config import Unit
from ...orchestrator.filtering import Decision
from .measured import keep_highest


def filter_longest(rows: np.ndarray, *, count: int, unit: Unit) -> Decision:
    """Keep the round's `count` longest responses (of a pair, the chosen one): Long-is-more, arXiv 2402.04833, which
    keeps 1,000 (not verified). Drop reason: `not_longest`."""
    return Decision(dropped=keep_highest(rows[unit], count, "not_longest"))
