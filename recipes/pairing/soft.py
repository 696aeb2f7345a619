"""The more probable of two responses over the other, its probability as a soft label."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal

from ...orchestrator.data.records import Judgment, PairingOutcome, Prompt, Rollout
from ...orchestrator.parts.pairing import Pair, PairingContext, PairingPart, Takes
from ...orchestrator.parts.registry import part
from .candidates import MEAN_DECIMALS, dropped, mean_probability, pair_of, same_text, unusable


@part("pairing")
class SoftPairing(PairingPart):
    """The more probable of two responses over the other, with its probability as the label (RLAIF in RLCD's paper,
    arXiv 2307.12950); an even one gives no pair."""

    kind: Literal["soft"]
    takes: ClassVar[Takes] = "comparisons"

    def sentence(self) -> str:
        return "The response that is more probably the better one over the other, with that probability as label."

    def build(self, context: PairingContext) -> Pair:
        return partial(pair_soft, drop_truncated=context.drop_truncated)


def pair_soft(
    prompt: Prompt, rollouts: Sequence[Rollout], judgments: Sequence[Judgment], *, drop_truncated: bool
) -> PairingOutcome:
    """The more probable of two responses over the other, with its probability as a soft label: the RLAIF baseline of
    RLCD, arXiv 2307.12950.

    The probability is the mean over the parsed judgments. Where the two orders of asking contradict each other (one
    above a half, one below) the mean decides, and its soft label carries the contradiction as uncertainty: a judge that
    goes by the order alone comes out even. Drop reasons, in this order: `truncated`, `empty` (a response is blank),
    `unscored` (no judgment was parsed), `tie` (exactly even), `identical`.
    """
    first, second = sorted(rollouts, key=lambda rollout: rollout.sample)
    if reason := unusable(first, second, drop_truncated):
        return dropped(prompt, reason)
    probability = mean_probability(judgments)
    if probability is None:
        return dropped(prompt, "unscored")
    if probability == 0.5:
        return dropped(prompt, "tie")
    if same_text(first, second):
        return dropped(prompt, "identical")
    if probability > 0.5:
        return pair_of(prompt, first, second, None, "judge", probability)
    return pair_of(prompt, second, first, None, "judge", round(1.0 - probability, MEAN_DECIMALS))
