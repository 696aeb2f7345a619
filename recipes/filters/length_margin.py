"""Pairs whose chosen response is not much longer than the rejected one."""

from functools import partial
from typing import ClassVar, Literal

import numpy as np

from ...orchestrator.data.filtering import Decision
from ...orchestrator.fields import NonNegativeInt
from ...orchestrator.parts.filter import Decide, FilterPart
from ...orchestrator.parts.registry import part
from .measured import Unit, drop_where


@part("filter")
class LengthMarginFilter(FilterPart):
    """Pairs whose chosen response is at most `max_excess` longer than the rejected one. Drop reason: `long_chosen`."""

    kind: Literal["length_margin"]
    max_excess: NonNegativeInt
    unit: Unit
    takes_pairs: ClassVar[bool] = True

    def sentence(self) -> str:
        return f"Pairs whose chosen response is at most {self.max_excess} {self.unit} longer than the rejected one."

    def build(self, seed: int) -> Decide:
        return partial(filter_length_margin, max_excess=self.max_excess, unit=self.unit)


def filter_length_margin(rows: np.ndarray, *, max_excess: int, unit: Unit) -> Decision:
    """Keep a pair whose chosen response is at most `max_excess` longer than the rejected one, so that length teaches
    less of the preference. A rule of this project's, after no paper. Drop reason: `long_chosen`."""
    return Decision(dropped=drop_where(long_chosen=rows[unit] - rows[f"rejected_{unit}"] > max_excess))
