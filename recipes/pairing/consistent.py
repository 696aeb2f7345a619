"""Two responses, where a judge says the same both ways round."""

from collections.abc import Sequence
from functools import partial
from statistics import fmean
from typing import ClassVar, Literal

from ...orchestrator.data.records import Judgment, PairingOutcome, Prompt, Rollout
from ...orchestrator.parts.pairing import Pair, PairingContext, PairingPart, Takes
from ...orchestrator.parts.registry import part
from .candidates import MEAN_DECIMALS, dropped, pair_of, same_text, unusable


@part("pairing")
class ConsistentPairing(PairingPart):
    """The response that the judge prefers both ways round, as a hard label (MT-bench, arXiv 2306.05685);
    `contradictory` orders and ties give no pair."""

    kind: Literal["consistent"]
    takes: ClassVar[Takes] = "comparisons"
    both_orders: ClassVar[bool] = True

    def sentence(self) -> str:
        return "The response that the judge prefers both ways round over the other."

    def build(self, context: PairingContext) -> Pair:
        return partial(pair_consistent, drop_truncated=context.drop_truncated)


def pair_consistent(
    prompt: Prompt, rollouts: Sequence[Rollout], judgments: Sequence[Judgment], *, drop_truncated: bool
) -> PairingOutcome:
    """The response that is preferred in both orders over the other, as a hard label: MT-bench, arXiv 2306.05685.

    Drop reasons, in this order: `truncated`, `empty` (a response is blank), `unscored` (an order has no parsed
    judgment), `contradictory` (the orders prefer different responses), `tie` (an order is even), `identical`.
    """
    first, second = sorted(rollouts, key=lambda rollout: rollout.sample)
    if reason := unusable(first, second, drop_truncated):
        return dropped(prompt, reason)
    preference = consistent_preference(judgments)
    if preference is None:
        return dropped(prompt, "unscored")
    if preference == 0.5:
        one, other = _by_order(judgments)
        return dropped(prompt, "tie" if 0.5 in (one, other) else "contradictory")
    if same_text(first, second):
        return dropped(prompt, "identical")
    chosen, rejected = (first, second) if preference > 0.5 else (second, first)
    return pair_of(prompt, chosen, rejected, None, "judge")


def consistent_preference(judgments: Sequence[Judgment]) -> float | None:
    """The probability, by judgments of two responses, that the first sampled is better; 1/2 where the two orders do not
    prefer the same one, as in MT-bench; None where an order has no parsed judgment.

    An order's preference is the mean of its parsed votes: even votes show `sample` first, odd ones `other`.
    """
    one, other = _by_order(judgments)
    if one is None or other is None:
        return None
    return round((one + other) / 2, MEAN_DECIMALS) if (one - 0.5) * (other - 0.5) > 0 else 0.5


def _by_order(judgments: Sequence[Judgment]) -> tuple[float | None, float | None]:
    """The mean probability that the first sampled is better, by which of the two is shown first."""
    votes: tuple[list[float], list[float]] = ([], [])
    for judgment in judgments:
        if judgment.probability is not None and judgment.other is not None:
            straight = judgment.sample < judgment.other
            probability = judgment.probability if straight else 1.0 - judgment.probability
            votes[(judgment.vote + (not straight)) % 2].append(probability)
    one, other = (round(fmean(found), MEAN_DECIMALS) if found else None for found in votes)
    return one, other
