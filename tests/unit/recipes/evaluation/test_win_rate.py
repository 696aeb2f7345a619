"""Win rates and their intervals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.comparisons import comparison, scored, with_verdict

from roundelay.recipes.evaluation.comparisons import Verdict
from roundelay.recipes.evaluation.win_rate import win_rate


def test_a_tie_counts_half_and_what_cannot_be_read_not_at_all() -> None:
    """Two wins, a tie, a loss: 2.5 of 4. The fifth was not read. Probabilities: (.9+.7)/2 = .8 twice, (.8+.3)/2 = .55,
    (.2+.4)/2 = .3: mean 2.45/4 = .6125."""
    rate = win_rate([*(with_verdict(verdict) for verdict in ("a", "a", "tie", "b")), comparison(0.9, None)])
    assert rate is not None
    assert (rate.wins, rate.ties, rate.losses, rate.unparsable, rate.comparisons) == (2, 1, 1, 1, 5)
    assert rate.win_rate == 0.625
    assert rate.mean_probability == pytest.approx(0.6125)


def test_the_judges_bias_for_what_stands_first_is_seen() -> None:
    """Orders (.9, .2): what stands first gets .9 and .8, mean .85, .35 over a half; the verdicts differ. Orders
    (.7, .7): .7 and .3, mean .5; the verdicts are the same. Together .175 and 1 of 2."""
    rate = win_rate([comparison(0.9, 0.2), comparison(0.7, 0.7)])
    assert rate is not None
    assert rate.prefers_first == pytest.approx(0.175)
    assert rate.swap_consistency == 0.5


def test_scores_win_tie_and_lose_and_say_nothing_of_orders() -> None:
    rate = win_rate([scored(5, 1), scored(2, 2), scored(0, 1), scored(None, 1)])
    assert rate is not None
    assert (rate.wins, rate.ties, rate.losses, rate.unparsable) == (1, 1, 1, 1)
    assert (rate.win_rate, rate.mean_probability) == (0.5, 0.5)
    assert (rate.swap_consistency, rate.prefers_first) == (None, None)


def test_identical_texts_say_nothing_about_the_judge() -> None:
    rate = win_rate([comparison(None, None, identical=True)] * 3)
    assert rate is not None
    assert (rate.win_rate, rate.ties) == (0.5, 3)
    assert rate.low < 0.5 < rate.high
    assert (rate.swap_consistency, rate.prefers_first) == (None, None)


def test_nothing_readable_is_no_win_rate() -> None:
    assert win_rate([comparison(None, 0.5)]) is None
    assert win_rate([]) is None


def test_the_interval_is_that_of_a_mean_of_coin_throws() -> None:
    """400 throws, half of them won: the standard error is .5/20 = .025, so that 95% lie within ±.049."""
    verdicts: list[Verdict] = ["a", "b"]
    rate = win_rate([with_verdict(verdicts[i % 2]) for i in range(400)])
    assert rate is not None
    assert rate.low == pytest.approx(0.5 - 0.049, abs=0.001)
    assert rate.high == pytest.approx(0.5 + 0.049, abs=0.001)


def test_five_wins_of_five_are_no_certainty() -> None:
    """Wilson: 56.6% to 100%."""
    rate = win_rate([with_verdict("a")] * 5)
    assert rate is not None
    assert (rate.low, rate.high) == (pytest.approx(0.5655, abs=1e-4), 1.0)


@given(st.lists(st.sampled_from(["a", "b", "tie"]), min_size=1, max_size=20))
def test_the_interval_holds_the_rate_and_exchanged_sides_add_up_to_one(sides: list[Verdict]) -> None:
    rate = win_rate([with_verdict(side) for side in sides])
    opposite: dict[Verdict, Verdict] = {"a": "b", "b": "a", "tie": "tie"}
    other = win_rate([with_verdict(opposite[side]) for side in sides])
    assert rate is not None and other is not None
    assert 0.0 <= rate.low <= rate.high <= 1.0
    assert rate.win_rate + other.win_rate == pytest.approx(1.0)
