"""Bradley-Terry and Elo."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roundelay.recipes.evaluation.ranking import Battle, bradley_terry, elo, rate


def battles(a: str, b: str, wins: int, losses: int) -> list[Battle]:
    points = [1.0] * wins + [0.0] * losses
    return [Battle(a=a, b=b, points=point, group=str(i)) for i, point in enumerate(points)]


def test_two_players_strengths_differ_by_the_log_of_their_odds() -> None:
    """3 of 4 won: odds 3, so ε_a − ε_b = ln 3; on Elo's scale 400·log10 3 = 190.85 points apart, around 1000."""
    strengths = bradley_terry(np.array([[0.0, 3.0], [1.0, 0.0]]), ridge=1e-9)
    assert strengths[0] - strengths[1] == pytest.approx(math.log(3), abs=1e-6)
    found = rate(battles("x", "y", 300, 100), ridge=1e-9)
    assert [one.player for one in found] == ["x", "y"]
    assert found[0].rating - found[1].rating == pytest.approx(400 * math.log10(3), abs=1e-3)
    assert found[0].rating + found[1].rating == pytest.approx(2000)


def test_known_strengths_are_recovered_from_expected_wins() -> None:
    """Every pair plays 1000 games, of which each wins what its strength says: the likelihood's maximum is there."""
    true = np.array([0.8, 0.1, -0.9])
    chances = 1 / (1 + np.exp(true[None, :] - true[:, None]))
    wins = 1000 * chances
    np.fill_diagonal(wins, 0)
    assert bradley_terry(wins, ridge=1e-9) == pytest.approx(true, abs=1e-6)


def test_a_player_that_was_never_met_by_another_is_still_placed() -> None:
    """x beats y, y beats z as often: x and z, who never met, are twice as far apart as neighbours."""
    wins = np.array([[0.0, 2, 0], [1, 0, 2], [0, 1, 0]])
    strengths = bradley_terry(wins, ridge=1e-9)
    assert strengths[0] - strengths[2] == pytest.approx(2 * math.log(2), abs=1e-6)


@pytest.mark.parametrize("wins", [1, 100, 10_000])
def test_an_unbeaten_round_stays_finite_and_first(wins: int) -> None:
    found = rate([*battles("unbeaten", "other", wins, 0), *battles("other", "last", wins, wins)], bootstraps=20)
    assert found[0].player == "unbeaten"
    assert all(math.isfinite(value) for one in found for value in (one.rating, one.low, one.high))


@settings(max_examples=50)
@given(st.lists(st.integers(0, 40), min_size=12, max_size=12))
def test_the_strengths_are_where_the_likelihoods_gradient_is_zero(counts: list[int]) -> None:
    """For any wins: Σ_j (w_ij − n_ij·σ(ε_i − ε_j)) = ridge·ε_i of the strengths before centring, which the ridge has
    centred already (the gradient's sum is −ridge·Σε)."""
    wins = np.zeros((4, 4))
    wins[~np.eye(4, dtype=bool)] = counts
    strengths = bradley_terry(wins, ridge=0.01)
    chances = 1 / (1 + np.exp(strengths[None, :] - strengths[:, None]))
    assert (wins - (wins + wins.T) * chances).sum(axis=1) == pytest.approx(0.01 * strengths, abs=1e-6)


def test_the_interval_is_over_prompts_and_narrows_with_their_number() -> None:
    """Battles of one prompt are drawn together: counted tenfold, they make nothing surer."""
    few = rate(battles("x", "y", 30, 20), seed=1)[0]
    many = rate(battles("x", "y", 300, 200), seed=1)[0]
    tenfold = rate([one for one in battles("x", "y", 30, 20) for _ in range(10)], seed=1)[0]
    assert few.low < few.rating < few.high
    assert many.high - many.low < 0.5 * (few.high - few.low)
    assert tenfold.high - tenfold.low == pytest.approx(few.high - few.low, rel=0.02)


def test_elo_moves_by_k_times_the_surprise() -> None:
    """Even at first: ±4·½. Then x expects 1/(1 + 10^(−4/400)) = .505756 and loses: −4·.505756 = −2.02302."""
    assert elo([Battle(a="x", b="y", points=1.0)]) == {"x": 1002.0, "y": 998.0}
    second = elo([Battle(a="x", b="y", points=1.0), Battle(a="x", b="y", points=0.0)])
    assert second["x"] == pytest.approx(1002.0 - 2.02302, abs=1e-5)
    assert sum(second.values()) == pytest.approx(2000.0)


def test_a_draw_of_equals_moves_nobody() -> None:
    assert elo([Battle(a="x", b="y", points=0.5)], k=32, start=1500) == {"x": 1500.0, "y": 1500.0}


def test_elos_interval_is_over_the_same_prompts_in_the_order_of_their_draws() -> None:
    """Two prompts, x wins one and y the other: a draw is win-win, win-loss, loss-win or loss-loss. By hand, at K = 4:
    two wins give 1000 + 2 + 4·(1 − .505756) = 1003.977; one each gives ∓.02302 around 1000, as the last one decides."""
    (x, y) = rate([Battle(a="x", b="y", points=1.0, group="1"), Battle(a="x", b="y", points=0.0, group="2")])
    if x.player != "x":
        x, y = y, x
    assert abs(x.elo - 1000.0) == pytest.approx(0.02302, abs=1e-5)
    assert (x.elo_low, x.elo_high) == (pytest.approx(996.023, abs=1e-3), pytest.approx(1003.977, abs=1e-3))
    assert x.elo + y.elo == pytest.approx(2000.0)


def test_a_player_that_no_drawn_prompt_knows_keeps_its_first_elo() -> None:
    """z meets nobody but on one prompt of forty: most draws know it not, or once. It has 1000 then, or 1002."""
    alone = [Battle(a="x", b="y", points=0.5, group=str(i)) for i in range(39)]
    z = next(row for row in rate([*alone, Battle(a="z", b="y", points=1.0, group="z")]) if row.player == "z")
    assert (z.elo, z.elo_low) == (pytest.approx(1002.0, abs=0.1), pytest.approx(1000.0, abs=0.1))


def test_elo_does_not_hang_on_the_order_that_battles_come_in() -> None:
    given = [*battles("x", "y", 5, 3), *battles("y", "z", 2, 6)]
    assert rate(given, bootstraps=20) == rate(given[::-1], bootstraps=20)
