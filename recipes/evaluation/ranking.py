"""One scale for several policies, from comparisons of two at a time: Bradley-Terry by maximum likelihood, and Elo."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...orchestrator.seeds import derive_seed
from .win_rate import INTERVAL

RIDGE = 0.01  # on Bradley-Terry's strengths: an unbeaten player's would be infinite
ELO_K = 4.0
ELO_START = 1000.0
ELO_SCALE = 400.0  # points at which the odds are ten to one


@dataclass(frozen=True, kw_only=True, slots=True)
class Battle:
    """One comparison of two players: `points` is what `a` gets (win 1, tie half, loss 0). Battles on the same prompt
    share `group`.

    Example:
        Battle(a="round 1", b="initial", points=1.0, group="maths-001")
    """

    a: str
    b: str
    points: float
    group: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rating:
    """A player's Bradley-Terry strength on Elo's scale (the mean player has 1000), and its sequential Elo, each with a
    95% interval.

    Example:
        Rating(player="round 1", rating=1032.0, low=1010.5, high=1060.0, elo=1015.0, elo_low=1004.0, elo_high=1026.5)
    """

    player: str
    rating: float
    low: float
    high: float
    elo: float
    elo_low: float
    elo_high: float


def rate(battles: Sequence[Battle], *, ridge: float = RIDGE, bootstraps: int = 200, seed: int = 0) -> list[Rating]:
    """Every player's ratings, the strongest by Bradley-Terry first.

    The intervals are of one bootstrap over groups: all battles on a prompt are drawn together, since they share
    responses. Elo hangs on the order of battles, which means nothing here: it is by lot, the same each time, and in a
    draw that of the groups as they are drawn.
    """
    players = sorted({name for battle in battles for name in (battle.a, battle.b)})
    groups = sorted({battle.group for battle in battles})
    index = {name: i for i, name in enumerate(players)}
    wins = np.zeros((len(groups), len(players), len(players)))
    place = {group: i for i, group in enumerate(groups)}
    for battle in battles:
        wins[place[battle.group], index[battle.a], index[battle.b]] += battle.points
        wins[place[battle.group], index[battle.b], index[battle.a]] += 1.0 - battle.points
    ratings = _scaled(bradley_terry(wins.sum(axis=0), ridge=ridge))
    draws = np.random.default_rng(seed).integers(len(groups), size=(bootstraps, len(groups)))
    sampled = [_scaled(bradley_terry(wins[draw].sum(axis=0), ridge=ridge)) for draw in draws]
    low, high = np.percentile(sampled, INTERVAL, axis=0)
    by_lot = sorted(battles, key=lambda one: derive_seed(seed, "elo", one.group, one.a, one.b))
    of_group: list[list[Battle]] = [[] for _ in groups]
    for battle in by_lot:
        of_group[place[battle.group]].append(battle)
    final = elo(by_lot)
    redrawn = [elo([battle for group in draw for battle in of_group[group]]) for draw in draws]
    elos = [[ratings_of_draw.get(name, ELO_START) for name in players] for ratings_of_draw in redrawn]
    elo_low, elo_high = np.percentile(elos, INTERVAL, axis=0)
    rows = [
        Rating(
            player=name,
            rating=float(ratings[i]),
            low=float(low[i]),
            high=float(high[i]),
            elo=final[name],
            elo_low=float(elo_low[i]),
            elo_high=float(elo_high[i]),
        )
        for name, i in index.items()
    ]
    return sorted(rows, key=lambda row: (-row.rating, row.player))


def bradley_terry(wins: np.ndarray, *, ridge: float = RIDGE) -> np.ndarray:
    """The strengths ε that maximise Σ_ij w_ij·log σ(ε_i − ε_j) − ridge/2·Σ ε_i², by Newton's method.

    `wins[i, j]` is how often i beat j, a tie half to both. Their mean is 0. With `ridge` above 0 they are finite
    whatever the wins; it pulls them together by about `ridge` wins' worth.
    """
    games = wins + wins.T
    strengths = np.zeros(len(wins))
    for _ in range(100):
        chances = 1.0 / (1.0 + np.exp(strengths[None, :] - strengths[:, None]))
        gradient = (wins - games * chances).sum(axis=1) - ridge * strengths
        curvature = games * chances * (1.0 - chances)
        hessian = np.diag(curvature.sum(axis=1) + ridge) - curvature
        step = np.linalg.solve(hessian, gradient)
        # A step of more than 1 would overshoot where almost every game was won.
        strengths = strengths + step / max(1.0, np.abs(step).max())
        if np.abs(step).max() < 1e-10:
            break
    return strengths - strengths.mean()


def elo(battles: Sequence[Battle], *, k: float = ELO_K, start: float = ELO_START) -> dict[str, float]:
    """Sequential Elo, in the order of `battles`: R_a += k·(points − 1/(1 + 10^((R_b − R_a)/400))).

    The constants are WildBench's; RWQ-Elo's (arXiv 2403.07872) are not verified. The order matters: shuffle it by seed
    where it means nothing.

    Example:
        >>> elo([Battle(a="x", b="y", points=1.0)])
        {'x': 1002.0, 'y': 998.0}
    """
    ratings: dict[str, float] = {}
    for battle in battles:
        a, b = ratings.setdefault(battle.a, start), ratings.setdefault(battle.b, start)
        gain = k * (battle.points - 1.0 / (1.0 + 10.0 ** ((b - a) / ELO_SCALE)))
        ratings[battle.a], ratings[battle.b] = a + gain, b - gain
    return ratings


def _scaled(strengths: np.ndarray) -> np.ndarray:
    return ELO_START + strengths * ELO_SCALE / np.log(10.0)
