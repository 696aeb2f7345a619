"""One label probability for all pairs of a round."""

import numpy as np

from ...orchestrator.filtering import Decision
from ..pairing.candidates import MEAN_DECIMALS


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
