"""WildBench's two figures (arXiv 2406.04770): WB-Reward from verdicts on pairs, WB-Score from ratings."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Literal, TypeAlias

from .comparisons import Comparison

Grade: TypeAlias = Literal["A++", "A+", "A=B", "B+", "B++"]

REWARDS: dict[Grade, float] = {"A++": 1.0, "A+": 0.5, "A=B": 0.0, "B+": -0.5, "B++": -1.0}
# By the probability that a judge of two responses gives for the grade.
GRADES: Mapping[float, Grade] = {(1 + reward) / 2: grade for grade, reward in REWARDS.items()}
LENGTH_RULE_CHARS = 500
MIN_RATING, MAX_RATING = 1, 10


def wb_reward(grade: Grade, *, chars_a: int, chars_b: int, max_extra_chars: int | None = LENGTH_RULE_CHARS) -> float:
    """The reward of a, from −1 to 1. A slight win becomes a tie if the winner is more than `max_extra_chars` characters
    longer (None switches the rule off, as K = −1 does there).

    Example:
        >>> wb_reward("A+", chars_a=900, chars_b=400), wb_reward("A+", chars_a=901, chars_b=400)
        (0.5, 0.0)
    """
    reward = REWARDS[grade]
    extra = chars_a - chars_b if reward > 0 else chars_b - chars_a
    if abs(reward) == 0.5 and max_extra_chars is not None and extra > max_extra_chars:
        return 0.0
    return reward


def mean_wb_reward(
    comparisons: Sequence[Comparison], *, max_extra_chars: int | None = LENGTH_RULE_CHARS
) -> float | None:
    """WB-Reward of a, with the length rule: the mean over all comparisons that could be read, of both orders (WildBench
    asks in one, by lot). None of none; identical texts are a tie.

    Raises:
        ValueError: a probability is no grade, as a mean of several votes may be.

    Example:
        >>> slight = Comparison(prompt_id="1", shown_first=0.75, shown_second=1.0, chars_a=90, chars_b=80)
        >>> mean_wb_reward([slight])
        0.75
    """
    rewards = [
        wb_reward(_grade(probability), chars_a=one.chars_a, chars_b=one.chars_b, max_extra_chars=max_extra_chars)
        for one in comparisons
        for probability in one.orders or ()
    ]
    return fmean(rewards) if rewards else None


def _grade(probability: float) -> Grade:
    if probability not in GRADES:
        raise ValueError(f"{probability} is the probability of no grade: {', '.join(map(str, GRADES))} are")
    return GRADES[probability]


def wb_score(rating: float) -> float:
    """A rating from 1 to 10 as (s − 5)·2: 0 is an average response.

    Raises:
        ValueError: the rating is off the scale.

    Example:
        >>> wb_score(8)
        6
    """
    if not MIN_RATING <= rating <= MAX_RATING:
        raise ValueError(f"a rating goes from {MIN_RATING} to {MAX_RATING}, but this one is {rating}")
    return (rating - 5) * 2
