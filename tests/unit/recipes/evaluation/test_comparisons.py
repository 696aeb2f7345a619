"""What two orders of one question say together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.comparisons import comparison, scored

from roundelay.recipes.evaluation.comparisons import Comparison, Verdict, probabilities_of_first
from roundelay.recipes.judges.verdicts import compared

PROBABILITY = st.floats(0.0, 1.0)


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        (0.9, 0.6, "a"),
        (0.4, 0.1, "b"),
        (0.9, 0.1, "tie"),  # what stands first wins twice: the orders contradict each other
        (0.1, 0.9, "tie"),
        (0.9, 0.5, "tie"),  # one order prefers none
        (0.5, 0.5, "tie"),
    ],
)
def test_a_response_wins_only_if_both_orders_prefer_it(first: float, second: float, verdict: Verdict) -> None:
    assert comparison(first, second).verdict == verdict


@pytest.mark.parametrize(("first", "second"), [(None, 0.9), (0.9, None), (None, None)])
def test_an_order_that_could_not_be_read_leaves_no_verdict(first: float | None, second: float | None) -> None:
    """Neither a tie nor a loss: there is nothing to count."""
    one = comparison(first, second)
    assert (one.verdict, one.probability, one.orders) == (None, None, None)


def test_identical_texts_are_a_tie_without_a_judge() -> None:
    one = comparison(None, None, identical=True)
    assert (one.verdict, one.probability) == ("tie", 0.5)


@given(first=PROBABILITY, second=PROBABILITY)
def test_exchanging_the_responses_exchanges_the_verdict(first: float, second: float) -> None:
    """What was shown first for a is shown second for b, with the other probability."""
    exchanged = Comparison(prompt_id="p", shown_first=1 - second, shown_second=1 - first, chars_a=1, chars_b=1)
    opposite = {"a": "b", "b": "a", "tie": "tie"}
    if 0.5 not in (first, second, 1 - first, 1 - second):
        assert exchanged.verdict == opposite[comparison(first, second).verdict or ""]


def test_the_votes_of_an_order_are_averaged_and_those_not_parsed_left_out() -> None:
    """Even votes show sample 0 first. That order: .8 and, as the probability of sample 1, .4, that is .6 of sample 0:
    mean .7. The other one was never parsed."""
    judgments = [
        compared("p", 0, 1, vote=0, status="parsed", probability=0.8),
        compared("p", 1, 0, vote=2, status="parsed", probability=0.4),
        compared("p", 0, 1, vote=1, status="unparsable", probability=None),
    ]
    assert probabilities_of_first(judgments) == {0: pytest.approx(0.7)}


@pytest.mark.parametrize(
    ("a", "b", "verdict", "probability"), [(3.5, 3.0, "a", 1.0), (-2.0, 0.0, "b", 0.0), (4.0, 4.0, "tie", 0.5)]
)
def test_the_higher_score_wins_and_equal_scores_are_a_tie(
    a: float, b: float, verdict: Verdict, probability: float
) -> None:
    """There is no order to speak of, and no probability but that of the verdict."""
    one = scored(a, b)
    assert (one.verdict, one.probability, one.orders) == (verdict, probability, None)


@pytest.mark.parametrize(("a", "b"), [(None, 3.0), (0.0, None), (None, None)])
def test_a_response_without_a_score_leaves_no_verdict(a: float | None, b: float | None) -> None:
    """An unread answer is no zero, which would lose or tie."""
    one = scored(a, b)
    assert (one.verdict, one.probability, one.answers) == (None, None, ())
