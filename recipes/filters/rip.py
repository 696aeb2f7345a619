"""Pairs whose rejected response is good and long, and whose margin is small."""

from functools import partial
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from ...orchestrator.data.filtering import Decision
from ...orchestrator.errors import ConfigError
from ...orchestrator.fields import STRICT
from ...orchestrator.parts.filter import Decide, FilterPart
from ...orchestrator.parts.registry import Place, part
from ..pairing.candidates import MEAN_DECIMALS
from .measured import Unit, drop_where


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class Threshold:
    """A number, or a quantile of the round's."""

    by: Literal["quantile", "value"]
    at: Annotated[float, Field(allow_inf_nan=False)]  # 0 to 1 for a quantile


@part("filter")
class RipFilter(FilterPart):
    """Pairs whose rejected response is good and long, and whose margin is small (RIP, arXiv 2501.18578). Drop reasons:
    `low_rejected_score`, `short_rejected`, `wide_margin`."""

    kind: Literal["rip"]
    rejected_score: Threshold  # at least
    rejected_length: Threshold  # at least
    margin: Threshold  # at most
    unit: Unit  # of lengths
    whole_round: ClassVar[bool] = True
    takes_pairs: ClassVar[bool] = True
    takes_scores: ClassVar[bool] = True

    def check(self, at: Place) -> None:
        """Quantiles lie between 0 and 1."""
        for name in ("rejected_score", "rejected_length", "margin"):
            threshold: Threshold = getattr(self, name)
            if threshold.by == "quantile" and not 0 <= threshold.at <= 1:
                raise ConfigError(
                    f"{at / name}.by=quantile with {at / name}.at={threshold.at:g}",
                    f"set {at / name}.at between 0 and 1, or {at / name}.by=value",
                )

    def sentence(self) -> str:
        return "Of the round's pairs those whose rejected response is good and long, and near the chosen one (RIP)."

    def build(self, seed: int) -> Decide:
        return partial(filter_rip, config=self)


def filter_rip(rows: np.ndarray, *, config: RipFilter) -> Decision:
    """Keep a pair whose rejected score and length are at least, and whose margin is at most, their thresholds: RIP,
    arXiv 2501.18578, which takes the 50th percentile of each.

    A quantile is that of the round's pairs, linear between neighbours; what lies on a threshold is kept. Whether the
    paper counts tokens or characters is not verified. Drop reasons, in this order: `low_rejected_score`,
    `short_rejected`, `wide_margin`.
    """
    if not len(rows):
        return Decision(dropped=())
    scores, lengths, margins = rows["rejected_score"], rows[f"rejected_{config.unit}"], rows["margin"]
    assert not np.isnan(scores).any() and not np.isnan(margins).any(), "RIP comes with a pairing by scores"
    limits = {
        "rejected_score": _limit(scores, config.rejected_score),
        "rejected_length": _limit(lengths, config.rejected_length),
        "margin": _limit(margins, config.margin),
    }
    dropped = drop_where(
        low_rejected_score=scores < limits["rejected_score"],
        short_rejected=lengths < limits["rejected_length"],
        wide_margin=margins > limits["margin"],
    )
    return Decision(dropped=dropped, limits=limits)


def _limit(values: np.ndarray, threshold: Threshold) -> float:
    """Rounded as scores are: interpolation's noise puts no value on the other side of itself."""
    if threshold.by == "value":
        return threshold.at
    return round(float(np.quantile(values, threshold.at)), MEAN_DECIMALS)
