"""95% intervals cover what they should, also where plain bootstraps say a point."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundelay.recipes.evaluation.intervals import mean_interval, score_intervals
from roundelay.recipes.evaluation.ranking import Battle, bradley_terry, drawn_wins, rate, redrawn

SIMULATED = 2000
SIZES = (8, 16, 32, 50, 100, 200, 400, 800)


def covers(low: np.ndarray, high: np.ndarray, truth: float) -> float:
    return float(((low <= truth) & (truth <= high)).mean())


@pytest.mark.parametrize(
    ("wins", "of", "low", "high"),
    [(5, 5, 0.5655, 1.0), (0, 5, 0.0, 0.4345), (8, 10, 0.4902, 0.9433), (1, 29, 0.0061, 0.1718)],
)
def test_of_wins_and_losses_it_is_wilsons(wins: int, of: int, low: float, high: float) -> None:
    """(p + z²/2n ± z√(p(1 − p)/n + z²/4n²))/(1 + z²/n), z = 1.96. By hand for 5 of 5: z²/5 = .7683, so that the lower
    end is (1 + .3841 − .3841)/1.7683 = .5655. 1 of 29 is Newcombe's example (1998): .0061 to .1718."""
    found = mean_interval([1.0] * wins + [0.0] * (of - wins))
    assert found == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_the_interval_covers_the_truth_for_8_to_800_wins_losses_and_ties() -> None:
    """Nowhere under 90% (Wilson's own dips near 0 and 1), and 95% in the mean over all sizes."""
    rng = np.random.default_rng(0)
    found = []
    for ties in (0.0, 0.3, 0.9):
        for p in (0.5, 0.9, 0.97):
            for n in SIZES:
                won = (rng.random((SIMULATED, n)) < p).astype(float)
                points = np.where(rng.random((SIMULATED, n)) < ties, 0.5, won)
                low, high = score_intervals(points, np.ones_like(points))
                found.append(covers(low, high, ties / 2 + (1 - ties) * p))
    assert min(found) > 0.9
    assert 0.945 < np.mean(found) < 0.985


def test_the_interval_covers_the_truth_where_votes_share_prompts() -> None:
    """Prompts with 1 to 8 votes each, which agree more than coins do: every prompt has its own chance, drawn from
    Beta(2p, 2 − 2p). Taken as so many throws, the votes would cover less."""
    rng = np.random.default_rng(0)
    for p in (0.6, 0.9):
        for prompts in (8, 16, 50, 200):
            chances = rng.beta(2 * p, 2 * (1 - p), (SIMULATED, prompts))
            votes = rng.integers(1, 9, chances.shape)
            sums = rng.binomial(votes, chances).astype(float)
            assert covers(*score_intervals(sums, votes.astype(float)), p) > 0.93
    alone = mean_interval([1.0, 0.0] * 20)
    together = mean_interval([1.0, 0.0] * 20, [place // 10 * 2 + place % 2 for place in range(40)])
    assert alone is not None and together is not None
    assert together[1] - together[0] > 1.5 * (alone[1] - alone[0])


def test_clusters_of_one_are_no_clusters_and_copies_of_a_vote_make_nothing_surer() -> None:
    values = [1.0, 0.0, 0.5, 1.0, 1.0]
    assert mean_interval(values, "abcde") == pytest.approx(mean_interval(values))
    assert mean_interval(values * 10, "abcde" * 10) == pytest.approx(mean_interval(values))


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=30))
def test_no_interval_is_a_point_and_each_holds_its_mean(values: list[float]) -> None:
    found, mirrored = mean_interval(values), mean_interval([1.0 - value for value in values])
    assert found is not None and mirrored is not None
    assert 0.0 <= found[0] <= np.mean(values) <= found[1] <= 1.0
    assert found[1] - found[0] > 1.0 / (2 * len(values))
    assert mirrored == (pytest.approx(1.0 - found[1]), pytest.approx(1.0 - found[0]))


def test_of_nothing_there_is_no_interval() -> None:
    assert mean_interval([]) is None


@pytest.mark.parametrize("points", [1.0, 0.5])
def test_a_rankings_interval_of_equal_outcomes_is_no_point(points: float) -> None:
    """5 wins of 5, or 5 ties: every plain draw of the prompts says the same."""
    x, _ = sorted(
        rate([Battle(a="x", b="y", points=points, group=str(i)) for i in range(5)]), key=lambda one: one.player
    )
    assert x.low < x.rating - 10
    assert x.elo_low < x.elo - 1
    assert x.low <= x.rating <= x.high
    assert x.elo_low <= x.elo <= x.elo_high


@pytest.mark.parametrize("n", [8, 50])
def test_a_rankings_interval_covers_the_true_strength(n: int) -> None:
    """Of two players: half the log-odds of the first one's chance."""
    rng, found = np.random.default_rng(n), []
    for p in (0.5, 0.9, 0.97):
        truth = np.log(p / (1 - p)) / 2
        won = (rng.random((150, n)) < p).astype(float)
        wins = np.zeros((150, n, 2, 2))
        wins[..., 0, 1], wins[..., 1, 0] = won, 1 - won
        strengths = [bradley_terry(drawn_wins(one, redrawn(n, 2, 200, rng)))[:, 0] for one in wins]
        low, high = np.percentile(strengths, (2.5, 97.5), axis=1)
        found.append(covers(low, high, truth))
    assert min(found) > 0.88  # 150 simulations have a standard error of 1.8 points
    assert np.mean(found) > 0.91
