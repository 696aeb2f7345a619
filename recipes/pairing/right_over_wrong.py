"""Judgments that are right, over those that are not."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal

from ...orchestrator.data.records import Judgment, PairingOutcome, Prompt, Rollout
from ...orchestrator.parts.pairing import Pair, PairingContext, PairingPart, Takes
from ...orchestrator.parts.registry import part
from .candidates import dropped, kept, lacking, pair_of
from .right import right_by_sample


@part("pairing")
class RightOverWrongPairing(PairingPart):
    """A right judgment over one that is wrong, a tie, or cannot be read (Self-Taught Evaluator, arXiv 2408.02666)."""

    kind: Literal["right_over_wrong"]
    version: ClassVar[int] = 2  # no empty response comes into a pair or a group
    takes: ClassVar[Takes] = "truth"

    def sentence(self) -> str:
        return "A judgment that is right over one that is wrong, a tie, or cannot be read."

    def build(self, context: PairingContext) -> Pair:
        return partial(pair_right_over_wrong, drop_truncated=context.drop_truncated)


def pair_right_over_wrong(
    prompt: Prompt, rollouts: Sequence[Rollout], judgments: Sequence[Judgment], *, drop_truncated: bool
) -> PairingOutcome:
    """The first right judgment of a judging prompt over the first that is not right: Self-Taught Evaluator's pairs for
    DPO, arXiv 2408.02666. A wrong verdict, a tie, and what cannot be read are all not right, here alone: of a judgment,
    being none is a fault of its own.

    Drop reasons, in this order: `truncated` and `empty` (fewer than two judgments are left), `none_right`, `all_right`.
    A prompt without a truth, as held-out ones are, is `unscored`.
    """
    candidates = kept(rollouts, drop_truncated)
    if len(candidates) < 2:
        return dropped(prompt, lacking(rollouts, drop_truncated, at_least=2))
    if not judgments:
        return dropped(prompt, "unscored")
    right = right_by_sample(judgments)
    chosen = next((rollout for rollout in candidates if right.get(rollout.sample)), None)
    rejected = next((rollout for rollout in candidates if not right.get(rollout.sample)), None)
    if chosen is None:
        return dropped(prompt, "none_right")
    if rejected is None:
        return dropped(prompt, "all_right")
    return pair_of(prompt, chosen, rejected, None, "truth")
