"""The responses nearest to two points of the prompt's score distribution."""

from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import assert_never, get_args

from ...orchestrator.pairing_config import Anchor
from ...orchestrator.records import Judgment, PairingOutcome, Prompt, Rollout
from .candidates import MEAN_DECIMALS, Scored, paired

ANCHORS: tuple[Anchor, ...] = get_args(Anchor)  # from the lowest to the highest


def pair_sweet_spot(
    prompt: Prompt,
    rollouts: Sequence[Rollout],
    judgments: Sequence[Judgment],
    *,
    rejected_at: Anchor,
    chosen_at: Anchor = "max",
    drop_truncated: bool,
) -> PairingOutcome:
    """The responses nearest to two points of the prompt's score distribution: arXiv 2502.16825, rejecting at μ−2σ.

    The rejected response is the nearest other than the chosen one. Of two at the same distance the higher-scored is
    chosen, the lower-scored rejected. That a response which scores like the chosen one is the nearest is a `tie`;
    where the chosen one is not the best, the nearest other can score higher: `inverted`.

    σ is the population's: the anchors describe the responses at hand. Which one the paper takes is not verified (its
    selection code is unpublished). With either, up to five responses never reach below μ−2σ: it then means the worst.
    """
    if ANCHORS.index(chosen_at) <= ANCHORS.index(rejected_at):
        raise ValueError(
            f"pair_sweet_spot: chosen_at is {chosen_at!r} and rejected_at {rejected_at!r}; chosen_at has to be the "
            f"higher one in {', '.join(ANCHORS)}."
        )

    def pick(scored: Sequence[Scored]) -> tuple[Scored, Scored]:
        scores = [one.score for one in scored]
        high, low = _anchor_score(scores, chosen_at), _anchor_score(scores, rejected_at)
        chosen = min(scored, key=lambda one: (_distance(one.score, high), -one.score))
        others = [one for one in scored if one is not chosen]
        return chosen, min(others, key=lambda one: (_distance(one.score, low), one.score))

    return paired(prompt, rollouts, judgments, drop_truncated, pick)


def _anchor_score(scores: Sequence[float], anchor: Anchor) -> float:
    mean, deviation = fmean(scores), pstdev(scores)
    match anchor:
        case "min":
            return min(scores)
        case "mu-2sigma":
            return mean - 2 * deviation
        case "mu-sigma":
            return mean - deviation
        case "mu":
            return mean
        case "mu+sigma":
            return mean + deviation
        case "mu+2sigma":
            return mean + 2 * deviation
        case "max":
            return max(scores)
        case _:
            assert_never(anchor)


def _distance(score: float, anchor: float) -> float:
    """Rounded like the scores, so that equal distances are equal."""
    return round(abs(score - anchor), MEAN_DECIMALS)
