"""The length-controlled win rate, on judges whose liking for length is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.comparisons import comparison

from roundelay.recipes.evaluation.comparisons import Comparison
from roundelay.recipes.evaluation.length_controlled import GamedRow, length_controlled


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def biased(
    n: int, *, theta: float, phi: float, psi: float = 0.0, longer_by: float = 300.0, drawn: bool = False, seed: int = 3
) -> tuple[list[Comparison], dict[str, float]]:
    """A judge that follows the model: a is longer by `longer_by` characters in the mean, and θ < 0 likes length. Its
    probabilities are given as they are, or as a win or loss `drawn` from them."""
    rng = np.random.default_rng(seed)
    chars_b = rng.integers(400, 1600, size=n)
    chars_a = chars_b + rng.normal(longer_by, 300, size=n).astype(int)
    difficulty = rng.normal(size=n)
    gaps = (chars_b - chars_a).astype(float)
    p = sigmoid(theta * np.tanh(gaps / gaps.std(ddof=1)) + phi + psi * difficulty)
    if drawn:
        p = (rng.random(n) < p).astype(float)
    comparisons = [comparison(p[i], p[i], prompt_id=str(i), chars=(int(chars_a[i]), int(chars_b[i]))) for i in range(n)]
    return comparisons, {str(i): float(difficulty[i]) for i in range(n)}


def raw(comparisons: list[Comparison]) -> float:
    return float(np.mean([one.probability or 0.0 for one in comparisons]))


@pytest.mark.parametrize(("theta", "phi"), [(-1.0, -0.5), (-2.0, 0.0), (-0.5, 0.8), (1.0, 0.0)])
def test_a_judges_known_liking_for_length_is_recovered_and_taken_out(theta: float, phi: float) -> None:
    """Probabilities that are the model's own: both coefficients come back, and the rate is σ(φ)."""
    comparisons, _ = biased(500, theta=theta, phi=phi)
    found = length_controlled(comparisons)
    assert found is not None
    assert (found.theta, found.phi) == (pytest.approx(theta, abs=0.03), pytest.approx(phi, abs=0.03))
    assert found.win_rate == pytest.approx(float(sigmoid(np.array(phi))), abs=0.01)
    if theta < 0:
        assert raw(comparisons) > found.win_rate + 0.03


def test_wins_drawn_from_a_biased_judge_are_corrected_within_chance() -> None:
    """Two equally good policies (φ = 0), one of them longer: the raw rate is far over a half, the corrected one is a
    half within three standard errors of 2000 wins and losses."""
    comparisons, _ = biased(2000, theta=-1.5, phi=0.0, drawn=True)
    found = length_controlled(comparisons)
    assert found is not None
    assert raw(comparisons) > 0.65
    assert found.win_rate == pytest.approx(0.5, abs=0.05)


def test_a_table_of_difficulties_is_used_where_there_is_one() -> None:
    """The rate is then the mean of σ(φ + ψ·γ) over the prompts, which is not σ(φ)."""
    comparisons, difficulty = biased(800, theta=-1.0, phi=0.7, psi=1.5)
    found = length_controlled(comparisons, difficulty=difficulty)
    assert found is not None and found.psi is not None
    assert (found.theta, found.phi, found.psi) == (
        pytest.approx(-1.0, abs=0.05),
        pytest.approx(0.7, abs=0.05),
        pytest.approx(1.5, abs=0.05),
    )
    assert found.win_rate == pytest.approx(
        float(sigmoid(0.7 + 1.5 * np.array([*difficulty.values()])).mean()), abs=0.01
    )
    without = length_controlled(comparisons)
    assert without is not None and without.psi is None


def test_rows_of_gamed_baselines_say_what_length_is_worth() -> None:
    """a and b always write equally long: what the judge likes is in the gamed rows alone, θ = −2 at ψ = 1. 4000 of them
    at a tenth of the weight weigh as much as the 400 comparisons, and the rate at equal lengths stays."""
    comparisons, difficulty = biased(400, theta=0.0, phi=0.7, psi=1.0)
    comparisons = [
        comparison(one.probability, one.probability, prompt_id=one.prompt_id, chars=(90, 90)) for one in comparisons
    ]
    rng = np.random.default_rng(5)
    gaps, hard = rng.normal(size=4000), rng.normal(size=4000)
    preferences = sigmoid(-2.0 * np.tanh(gaps) + hard)
    gamed = [
        GamedRow(preference=float(p), std_delta_len=float(gap), difficulty=float(d))
        for p, gap, d in zip(preferences, gaps, hard, strict=True)
    ]
    without = length_controlled(comparisons, difficulty=difficulty)
    found = length_controlled(comparisons, difficulty=difficulty, gamed=gamed)
    assert without is not None and found is not None and found.psi is not None
    assert without.theta == 0.0
    assert (found.theta, found.phi, found.psi) == (
        pytest.approx(-2.0, abs=0.1),
        pytest.approx(0.7, abs=0.05),
        pytest.approx(1.0, abs=0.05),
    )
    assert found.win_rate == pytest.approx(without.win_rate, abs=0.01)
    with pytest.raises(ValueError, match="give those of the prompts too"):
        length_controlled(comparisons, gamed=gamed)


def test_gamed_rows_say_nothing_of_the_policys_own_strength() -> None:
    """At equal length and no difficulty a gamed row has no feature: whatever it says, φ is of the comparisons alone."""
    comparisons, difficulty = biased(200, theta=-1.0, phi=0.5)
    empty = [GamedRow(preference=0.9, std_delta_len=0.0, difficulty=0.0)] * 500
    plain, found = (length_controlled(comparisons, difficulty=difficulty, gamed=rows) for rows in ((), empty))
    assert plain is not None and found is not None
    assert found.phi == pytest.approx(plain.phi, abs=0.02)


def won(wins: int, of: int) -> list[Comparison]:
    """Responses of one length, of which a wins so many."""
    return [comparison(float(i < wins), float(i < wins), prompt_id=str(i * 7 % of)) for i in range(of)]


@pytest.mark.parametrize("wins", [40, 140, 200, 320])
def test_with_identical_lengths_it_is_the_win_rate(wins: int) -> None:
    """There is no length to control: what is left is a constant, whose best value is the mean."""
    rng = np.random.default_rng(0)
    found = length_controlled([won(wins, 400)[i] for i in rng.permutation(400)])
    assert found is not None
    assert found.theta == 0.0
    assert found.win_rate == pytest.approx(wins / 400, abs=0.01)


def test_a_rate_that_chance_explains_may_be_drawn_to_a_half() -> None:
    """The price of the penalty, which the folds choose: 46% of 400 is 1.6 standard errors from a half."""
    found = length_controlled([won(184, 400)[i] for i in np.random.default_rng(0).permutation(400)])
    assert found is not None
    assert 0.46 <= found.win_rate <= 0.5


def test_a_policy_against_itself_is_exactly_a_half() -> None:
    found = length_controlled([comparison(None, None, identical=True, chars=(n, n)) for n in range(3)])
    assert found is not None
    assert found.win_rate == 0.5


PROBABILITY = st.floats(0.0, 1.0)
CHARS = st.integers(0, 3000)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(PROBABILITY, PROBABILITY, CHARS, CHARS, st.floats(-3.0, 3.0)), min_size=3, max_size=30),
    st.booleans(),
)
def test_a_policy_that_meets_itself_is_even_by_the_fit_too(
    judged: list[tuple[float, float, int, int, float]], with_difficulties: bool
) -> None:
    """Every comparison comes with its exchange, as two samples of one policy would: (φ, ψ) and (−φ, −ψ) then fit
    equally well at every θ. The penalised loss is convex, so that its minimum has φ = ψ = 0, whatever the judge's
    liking for length, and the rate is σ(0)."""
    comparisons, difficulty = [], {}
    for i, (first, second, chars_a, chars_b, gamma) in enumerate(judged):
        exchanged = comparison(1 - second, 1 - first, prompt_id=f"{i}'", chars=(chars_b, chars_a))
        comparisons += [comparison(first, second, prompt_id=str(i), chars=(chars_a, chars_b)), exchanged]
        difficulty |= {str(i): gamma, f"{i}'": gamma}
    found = length_controlled(comparisons, difficulty=difficulty if with_difficulties else None)
    assert found is not None and found.strength is not None
    assert found.win_rate == pytest.approx(0.5, abs=1e-3)


def test_exchanged_sides_have_rates_that_add_up_to_one() -> None:
    comparisons, _ = biased(300, theta=-1.0, phi=0.4)
    exchanged = [
        comparison(1 - (one.shown_second or 0), 1 - (one.shown_first or 0), chars=(one.chars_b, one.chars_a))
        for one in comparisons
    ]
    found, other = length_controlled(comparisons), length_controlled(exchanged)
    assert found is not None and other is not None
    assert found.win_rate + other.win_rate == pytest.approx(1.0, abs=2e-3)


def test_what_cannot_be_read_changes_nothing_and_too_little_gives_nothing() -> None:
    comparisons, _ = biased(60, theta=-1.0, phi=0.4)
    assert length_controlled([*comparisons, comparison(None, 0.9, chars=(10_000, 1))]) == length_controlled(comparisons)
    assert length_controlled(comparisons[:4]) is None
    assert length_controlled([]) is None


def test_a_clean_sweep_is_finite_and_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    """Every comparison won with certainty, by the shorter response or not: no coefficient runs away, and liblinear
    does not complain on the terminal that nothing was lost."""
    found = length_controlled([comparison(1.0, 1.0, prompt_id=str(i), chars=(50, 100 + i)) for i in range(30)])
    assert found is not None
    assert 0.9 < found.win_rate <= 1.0
    assert capfd.readouterr() == ("", "")
