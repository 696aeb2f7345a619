"""The responses nearest to two points of the prompt's score distribution."""

from collections.abc import Sequence
from functools import partial
from statistics import fmean, pstdev
from typing import ClassVar, Literal, TypeAlias, assert_never, get_args

from ...orchestrator.data.records import Judgment, PairingOutcome, Prompt, Rollout
from ...orchestrator.errors import ConfigError
from ...orchestrator.parts.pairing import Pair, PairingContext, PairingPart
from ...orchestrator.parts.registry import Place, part
from .candidates import MEAN_DECIMALS, Scored, paired

# Points of the distribution of a prompt's scores, from the lowest to the highest.
Anchor: TypeAlias = Literal["min", "mu-2sigma", "mu-sigma", "mu", "mu+sigma", "mu+2sigma", "max"]
ANCHORS: tuple[Anchor, ...] = get_args(Anchor)
_IN_WORDS: dict[Anchor, str] = {
    "min": "the lowest",
    "mu-2sigma": "two standard deviations below the mean",
    "mu-sigma": "a standard deviation below the mean",
    "mu": "the mean",
    "mu+sigma": "a standard deviation above the mean",
    "mu+2sigma": "two standard deviations above the mean",
    "max": "the highest",
}


@part("pairing")
class SweetSpotPairing(PairingPart):
    """The responses nearest to two points of the prompt's score distribution: by default the best, and the one nearest
    to μ−2σ (arXiv 2502.16825)."""

    kind: Literal["sweet_spot"]
    chosen_at: Anchor
    rejected_at: Anchor  # a lower one
    version: ClassVar[int] = 2  # no empty response comes into a pair or a group

    def check(self, at: Place) -> None:
        """Refuse a chosen response that is to be worse than the rejected one.

        Raises:
            ConfigError: naming both places.
        """
        if not _is_above(self.chosen_at, self.rejected_at):
            raise ConfigError(
                f"{at / 'chosen_at'}={self.chosen_at} is not above {at / 'rejected_at'}={self.rejected_at}",
                f"order them as {', '.join(ANCHORS)}",
            )

    def sentence(self) -> str:
        high, low = _IN_WORDS[self.chosen_at], _IN_WORDS[self.rejected_at]
        return f"The response whose score is nearest to {high} over the one nearest to {low}."

    def build(self, context: PairingContext) -> Pair:
        return partial(
            pair_sweet_spot,
            chosen_at=self.chosen_at,
            rejected_at=self.rejected_at,
            drop_truncated=context.drop_truncated,
        )


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
    if not _is_above(chosen_at, rejected_at):
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


def _is_above(one: Anchor, other: Anchor) -> bool:
    return ANCHORS.index(one) > ANCHORS.index(other)


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
