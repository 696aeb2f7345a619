"""One scale for several policies, from comparisons of two at a time: Bradley-Terry by maximum likelihood, and Elo."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...orchestrator.data.seeds import derive_seed

RIDGE = 0.01  # on Bradley-Terry's strengths: an unbeaten player's would be infinite
ELO_K = 4.0
ELO_START = 1000.0
PERCENTILES = (2.5, 97.5)  # of the bootstrap
INVENTED = 2  # groups that smooth it
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

    The intervals are of one smoothed bootstrap over groups (`redrawn`): all battles on a prompt are drawn together,
    since they share responses. Elo depends on the order of battles, which means nothing here: it is by lot, the same
    each time, and in a draw that of the groups as they are drawn.
    """
    players = sorted({name for battle in battles for name in (battle.a, battle.b)})
    by_group: dict[str, list[Battle]] = {}
    for battle in sorted(battles, key=lambda one: (one.group, derive_seed(seed, "elo", one.group, one.a, one.b))):
        by_group.setdefault(battle.group, []).append(battle)
    groups = list(by_group.values())
    wins_GPP = np.stack([_wins(group, players) for group in groups])
    draws = redrawn(len(groups), len(players), bootstraps, np.random.default_rng(seed))
    ratings = _scaled(bradley_terry(wins_GPP.sum(axis=0), ridge=ridge))
    low, high = np.percentile(_scaled(bradley_terry(drawn_wins(wins_GPP, draws), ridge=ridge)), PERCENTILES, axis=0)
    final = elo(sorted(battles, key=lambda one: derive_seed(seed, "elo", one.group, one.a, one.b)))
    elos = [_drawn_elo(groups, players, draws, number) for number in range(bootstraps)]
    elo_low, elo_high = np.percentile(elos, PERCENTILES, axis=0)
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
        for i, name in enumerate(players)
    ]
    return sorted(rows, key=lambda row: (-row.rating, row.player))


@dataclass(frozen=True, kw_only=True, slots=True)
class Draws:
    """B draws of as many groups as there are. Where `invented_BG`, a group's battles go by `order_BGP` instead of as
    they went: a player with a lower number wins."""

    group_BG: np.ndarray
    invented_BG: np.ndarray
    order_BGP: np.ndarray


def redrawn(groups: int, players: int, bootstraps: int, rng: np.random.Generator) -> Draws:
    """A smoothed bootstrap: beside the groups there are `INVENTED` more, each with the battles of one by lot, won in an
    order of the players by lot. Of an unbeaten player every plain draw would say the same, and its interval would be a
    point."""
    drawn = rng.integers(groups + INVENTED, size=(bootstraps, groups))
    invented = drawn >= groups
    return Draws(
        group_BG=np.where(invented, rng.integers(groups, size=drawn.shape), drawn),
        invented_BG=invented,
        order_BGP=rng.random((*drawn.shape, players)),
    )


def drawn_wins(wins_GPP: np.ndarray, draws: Draws) -> np.ndarray:
    """Every draw's wins (B, P, P), of each group's (G, P, P)."""
    bootstraps, groups = draws.group_BG.shape
    times_BG = np.zeros((bootstraps, groups))
    as_they_went = np.nonzero(~draws.invented_BG)
    np.add.at(times_BG, (as_they_went[0], draws.group_BG[as_they_went]), 1.0)
    wins_BPP = np.tensordot(times_BG, wins_GPP, axes=1)
    invented = np.nonzero(draws.invented_BG)
    order_IP = draws.order_BGP[invented]
    played_IPP = (wins_GPP + wins_GPP.transpose(0, 2, 1))[draws.group_BG[invented]]
    np.add.at(wins_BPP, invented[0], played_IPP * (order_IP[:, :, None] < order_IP[:, None, :]))
    return wins_BPP


def _wins(battles: Sequence[Battle], players: Sequence[str]) -> np.ndarray:
    """How often each player (row) beat each other (column), ties half."""
    wins = np.zeros((len(players), len(players)))
    for battle in battles:
        a, b = players.index(battle.a), players.index(battle.b)
        wins[a, b] += battle.points
        wins[b, a] += 1.0 - battle.points
    return wins


def _drawn_elo(groups: Sequence[Sequence[Battle]], players: Sequence[str], draws: Draws, number: int) -> list[float]:
    """Every player's Elo in a draw; of one that it does not know, the first."""
    battles: list[Battle] = []
    for place, group in enumerate(draws.group_BG[number]):
        if draws.invented_BG[number, place]:
            order = dict(zip(players, draws.order_BGP[number, place], strict=True))
            battles += [replace(one, points=float(order[one.a] < order[one.b])) for one in groups[group]]
        else:
            battles += groups[group]
    ratings = elo(battles)
    return [ratings.get(name, ELO_START) for name in players]


def bradley_terry(wins: np.ndarray, *, ridge: float = RIDGE) -> np.ndarray:
    """The strengths ε (…, P) that maximise Σ_ij w_ij·log σ(ε_i − ε_j) − ridge/2·Σ ε_i², by Newton's method.

    `wins[…, i, j]` is how often i beat j, a tie half to both; axes before these two hold further tables. The mean of
    the strengths is 0. With `ridge` above 0 they are finite whatever the wins; it pulls them together by about `ridge`
    wins' worth.
    """
    games = wins + wins.swapaxes(-1, -2)
    strengths = np.zeros(wins.shape[:-1])
    for _ in range(100):
        chances = 1.0 / (1.0 + np.exp(strengths[..., None, :] - strengths[..., :, None]))
        gradient = (wins - games * chances).sum(axis=-1) - ridge * strengths
        curvature = games * chances * (1.0 - chances)
        hessian = (curvature.sum(axis=-1) + ridge)[..., None] * np.eye(wins.shape[-1]) - curvature
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        # A step of more than 1 would overshoot where almost every game was won.
        strengths = strengths + step / np.maximum(1.0, np.abs(step).max(axis=-1, keepdims=True))
        if np.abs(step).max() < 1e-10:
            break
    return strengths - strengths.mean(axis=-1, keepdims=True)


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
