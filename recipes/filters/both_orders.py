"""Right verdicts on two responses that are there in both orders."""

from typing import ClassVar, Literal

import numpy as np

from ...orchestrator.data.filtering import Decision
from ...orchestrator.parts.filter import Decide, FilterPart
from ...orchestrator.parts.registry import part
from .judgments import grouped


@part("filter")
class BothOrdersFilter(FilterPart):
    """Right verdicts on two responses that are there in both orders (as PandaLM's labels, arXiv 2306.05087). Drop
    reason: `one_order`."""

    kind: Literal["both_orders"]
    whole_round: ClassVar[bool] = True
    right_by: ClassVar[str | None] = "verdicts"

    def sentence(self) -> str:
        return "Right verdicts on two responses that are there in both orders."

    def build(self, seed: int) -> Decide:
        return filter_both_orders


def filter_both_orders(rows: np.ndarray) -> Decision:
    """Keep verdicts on two responses that are there in both orders: a filter for consistency under a swap, as PandaLM's
    labels had (arXiv 2306.05087; its details are not verified). Drop reason: `one_order`."""
    low, high = np.minimum(rows["rank"], rows["other_rank"]), np.maximum(rows["rank"], rows["other_rank"])
    dropped: list[str | None] = [None] * len(rows)
    for same in grouped(rows["source"], low, high):
        if len({rows["rank"][index] for index in same}) < 2:
            for index in same:
                dropped[index] = "one_order"
    return Decision(dropped=dropped)
