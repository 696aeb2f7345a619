"""WildBench's rewards and scores."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundelay.recipes.evaluation.comparisons import Comparison
from roundelay.recipes.evaluation.wildbench import REWARDS, Grade, mean_wb_reward, wb_reward, wb_score

GRADES = st.sampled_from(list(REWARDS))
CHARS = st.integers(0, 5000)


@pytest.mark.parametrize(
    ("grade", "chars_a", "chars_b", "reward"),
    [
        ("A++", 2000, 100, 1.0),  # a clear win stands, however long
        ("A+", 600, 100, 0.5),  # longer by 500, not by more
        ("A+", 601, 100, 0.0),
        ("A+", 100, 2000, 0.5),  # the shorter one won
        ("A=B", 2000, 100, 0.0),
        ("B+", 100, 601, 0.0),
        ("B+", 2000, 100, -0.5),
        ("B++", 100, 2000, -1.0),
    ],
)
def test_a_slight_win_by_a_much_longer_response_is_a_tie(
    grade: Grade, chars_a: int, chars_b: int, reward: float
) -> None:
    assert wb_reward(grade, chars_a=chars_a, chars_b=chars_b) == reward


@given(grade=GRADES, chars_a=CHARS, chars_b=CHARS)
def test_without_the_length_rule_only_the_grade_counts(grade: Grade, chars_a: int, chars_b: int) -> None:
    assert wb_reward(grade, chars_a=chars_a, chars_b=chars_b, max_extra_chars=None) == REWARDS[grade]


@given(grade=GRADES, chars_a=CHARS, chars_b=CHARS)
def test_exchanging_the_sides_changes_the_sign(grade: Grade, chars_a: int, chars_b: int) -> None:
    mirror: dict[Grade, Grade] = {"A++": "B++", "A+": "B+", "A=B": "A=B", "B+": "A+", "B++": "A++"}
    assert wb_reward(grade, chars_a=chars_a, chars_b=chars_b) == -wb_reward(
        mirror[grade], chars_a=chars_b, chars_b=chars_a
    )


def test_a_match_is_the_mean_of_both_orders_of_all_that_could_be_read() -> None:
    """0.5 and 1 for the first; 0 by the length rule and −1 for the second; a tie for identical texts: 0.5/6."""
    comparisons = [
        compared("one", 0.75, 1.0, chars_a=300, chars_b=200),
        compared("two", 0.25, 0.0, chars_a=100, chars_b=601),
        compared("three", None, 1.0),
        replace(compared("four", None, None), identical=True),
    ]
    assert mean_wb_reward(comparisons) == pytest.approx(0.5 / 6)
    assert mean_wb_reward(comparisons[2:3]) is None


@pytest.mark.parametrize(("max_extra_chars", "reward"), [(500, 0.25), (499, 0.0), (None, 0.25)])
def test_the_length_rule_of_a_match_is_the_one_that_is_given(max_extra_chars: int | None, reward: float) -> None:
    """A slight win of one order (the other even) by 500 characters more: ½ and 0, whose mean is ¼; a tie by K = 499."""
    slight = compared("one", 0.75, 0.5, chars_a=600, chars_b=100)
    assert mean_wb_reward([slight], max_extra_chars=max_extra_chars) == reward


def test_the_mean_of_several_votes_is_no_grade() -> None:
    with pytest.raises(ValueError, match=r"0\.875 is the probability of no grade"):
        mean_wb_reward([compared("one", 0.875, 0.5)])


def compared(
    prompt: str, first: float | None, second: float | None, *, chars_a: int = 9, chars_b: int = 9
) -> Comparison:
    return Comparison(prompt_id=prompt, shown_first=first, shown_second=second, chars_a=chars_a, chars_b=chars_b)


def test_a_score_has_its_zero_at_five() -> None:
    """(1 − 5)·2 = −8 and (10 − 5)·2 = 10 are the ends of the scale."""
    assert [wb_score(rating) for rating in (1, 5, 7.5, 10)] == [-8, 0, 5, 10]


@pytest.mark.parametrize("rating", [0, 0.9, 10.5, -3])
def test_a_rating_off_the_scale_is_refused(rating: float) -> None:
    with pytest.raises(ValueError, match="from 1 to 10"):
        wb_score(rating)
