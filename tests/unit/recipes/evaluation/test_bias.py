"""What a judge looks at beside quality."""

import numpy as np
import pytest
from support.comparisons import comparison, with_verdict

from roundelay.recipes.evaluation.bias import (
    has_list,
    length_preference,
    list_preference,
    partial_correlation,
    repeated_responses,
    self_preference,
)


def test_length_preference_counts_only_clear_differences_that_were_decided() -> None:
    """Of six: longer preferred twice (once as a, once as b), shorter once; a tie, a gap of exactly 30 and an unread one
    do not count. 2 of 3."""
    comparisons = [
        with_verdict("a", chars=(200, 100)),
        with_verdict("b", chars=(100, 131)),
        with_verdict("a", chars=(100, 200)),
        with_verdict("tie", chars=(500, 100)),
        with_verdict("a", chars=(130, 100)),
        comparison(None, 0.9, chars=(500, 100)),
    ]
    assert length_preference(comparisons) == pytest.approx(2 / 3)
    assert length_preference(comparisons, min_gap_chars=29) == pytest.approx(3 / 4)
    assert length_preference(comparisons[3:]) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- one\n- two", True),
        ("Here:\n\n* one\n\n* two", True),
        ("1. one\n2) two", True),
        ("  a. apple\n  b. banana", True),
        ("(1) one\n(2) two", True),
        ("- only one", False),
        ("2 apples\n3 pears", False),
        ("well-known\nhalf-baked", False),
        ("It ends in 1.\nThen 2.", False),
        ("--\n--", False),
        ("", False),
    ],
)
def test_a_list_is_two_lines_with_a_mark(text: str, expected: bool) -> None:
    assert has_list(text) is expected


def test_list_preference_counts_pairs_of_which_one_has_a_list() -> None:
    """p: the list wins; q: it loses; r: both have one; s: a tie. 1 of 2."""
    listed, plain = "- x\n- y", "x and y"
    texts = {"p": (listed, plain), "q": (plain, listed), "r": (listed, listed), "s": (listed, plain)}
    comparisons = [
        with_verdict("a", prompt_id="p"),
        with_verdict("a", prompt_id="q"),
        with_verdict("a", prompt_id="r"),
        with_verdict("tie", prompt_id="s"),
    ]
    assert list_preference(comparisons, texts) == 0.5
    assert list_preference(comparisons[2:], texts) is None


def test_a_constant_response_is_counted_wherever_it_is_given() -> None:
    """Three times the one (whitespace aside), twice the other, once a third: 5 of 6."""
    assert repeated_responses(["null", " null\n", "ok", "null", "ok", "mine"]) == 5
    assert repeated_responses(["a", "b"]) == 0


def test_the_partial_correlation_is_that_of_what_the_third_leaves_unexplained() -> None:
    """Regress both on z, correlate what is left: the definition, computed the other way."""
    rng = np.random.default_rng(5)
    z = rng.normal(size=200)
    x, y = 2 * z + rng.normal(size=200), -z + rng.normal(size=200)
    left = [values - np.polyval(np.polyfit(z, values, 1), z) for values in (x, y)]
    assert partial_correlation(list(x), list(y), list(z)) == pytest.approx(float(np.corrcoef(left)[0, 1]))


def test_a_judge_that_follows_quality_alone_has_none_with_length() -> None:
    """Score = quality plus noise, length = quality plus other noise: they correlate, but not beyond quality."""
    rng = np.random.default_rng(5)
    quality = rng.normal(size=2000)
    score, length = quality + rng.normal(size=2000), quality + rng.normal(size=2000)
    assert np.corrcoef(score, length)[0, 1] > 0.4
    assert partial_correlation(list(score), list(length), list(quality)) == pytest.approx(0.0, abs=0.07)


@pytest.mark.parametrize(
    ("x", "y", "z"),
    [([1, 2], [1, 2], [2, 1]), ([1, 1, 1], [1, 2, 3], [3, 1, 2]), ([1, 2, 3], [1, 3, 2], [1, 2, 3]), ([], [], [])],
    ids=["two points", "a constant", "all explained", "nothing"],
)
def test_a_partial_correlation_that_is_undefined_is_none(x: list[float], y: list[float], z: list[float]) -> None:
    assert partial_correlation(x, y, z) is None


def test_self_preference_is_the_difference_on_the_prompts_that_both_judges_read() -> None:
    """Own judge: win, tie on p and q; the third: loss, tie. (1 − 0 + ½ − ½)/2 = ½. r was read by one of them only."""
    own = [with_verdict("a", prompt_id="p"), with_verdict("tie", prompt_id="q"), with_verdict("a", prompt_id="r")]
    third = [with_verdict("tie", prompt_id="q"), with_verdict("b", prompt_id="p"), comparison(None, 1, prompt_id="r")]
    assert self_preference(own, third) == 0.5
    assert self_preference(third, own) == -0.5
    assert self_preference(own[2:], third) is None


def test_two_pairs_under_one_prompt_id_are_refused() -> None:
    with pytest.raises(ValueError, match="one pair a prompt"):
        self_preference([with_verdict("a")] * 2, [with_verdict("a")])
