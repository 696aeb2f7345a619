"""One label probability for all pairs of a round."""

from typing import ClassVar, Literal

import numpy as np

from ...orchestrator.data.filtering import Decision
from ...orchestrator.parts.filter import Decide, FilterPart
from ...orchestrator.parts.registry import part
from ..pairing.candidates import MEAN_DECIMALS


@part("filter")
class MeanLabelFilter(FilterPart):
    """Everything, each pair with the round's mean label probability as its own (CREAM's consistency, arXiv
    2410.12735)."""

    kind: Literal["mean_label_probability"]
    whole_round: ClassVar[bool] = True
    takes_pairs: ClassVar[bool] = True

    def sentence(self) -> str:
        return "All of it, every label with the round's mean probability."

    def build(self, seed: int) -> Decide:
        return filter_mean_label


def filter_mean_label(rows: np.ndarray) -> Decision:
    """Keep every pair, with the mean of the round's label probabilities as its own: the consistency over the data set
    in CREAM, arXiv 2410.12735, where pairing has put each prompt's into its label probability.

    Prompts that were dropped count for nothing, and what a pair has stays with its prompt: the official code pairs
    consistencies with the wrong prompts once one is skipped.
    """
    if not len(rows):
        return Decision(dropped=())
    mean = round(float(rows["label_probability"].mean()), MEAN_DECIMALS)
    return Decision(dropped=(None,) * len(rows), limits={"label_probability": mean}, label_probability=mean)
