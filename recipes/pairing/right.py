"""Judgments that are right, to imitate."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal

from ...orchestrator.data.records import Judgment, PairingOutcome, Prompt, ResponseGroup, Rollout
from ...orchestrator.parts.pairing import Gives, Pair, PairingContext, PairingPart, Takes
from ...orchestrator.parts.registry import part
from .candidates import dropped, kept, lacking


@part("pairing")
class RightPairing(PairingPart):
    """A judgment that is right, to imitate (Self-Taught Evaluator, arXiv 2408.02666)."""

    kind: Literal["right"]
    version: ClassVar[int] = 2  # no empty response comes into a pair or a group
    takes: ClassVar[Takes] = "truth"
    tells_better: ClassVar[bool] = False

    def gives(self) -> Gives:
        return "demonstrations"

    def units(self) -> str:
        return "judgments"

    def sentence(self) -> str:
        return "No pairs: a judgment that is right, to imitate."

    def build(self, context: PairingContext) -> Pair:
        return partial(pair_right, drop_truncated=context.drop_truncated)


def pair_right(
    prompt: Prompt, rollouts: Sequence[Rollout], judgments: Sequence[Judgment], *, drop_truncated: bool
) -> PairingOutcome:
    """The first judgment of a judging prompt that is right, to imitate: Self-Taught Evaluator, arXiv 2408.02666, which
    draws one of several. Samples are alike, so the first is as good a draw. Drop reasons, in this order: `truncated`
    and `empty` (none is left), `unscored` (none could be read), `none_right`."""
    candidates = kept(rollouts, drop_truncated)
    if not candidates:
        return dropped(prompt, lacking(rollouts, drop_truncated, at_least=1))
    right = right_by_sample(judgments)
    if not any(rollout.sample in right for rollout in candidates):
        return dropped(prompt, "unscored")
    imitated = next((rollout for rollout in candidates if right.get(rollout.sample)), None)
    if imitated is None:
        return dropped(prompt, "none_right")
    return PairingOutcome(
        pair=None, dropped=None, group=ResponseGroup(prompt=prompt, responses=(imitated,), scores=(1.0,))
    )


def right_by_sample(judgments: Sequence[Judgment]) -> dict[int, bool]:
    """Whether a judgment is right, by sample. What could not be read is absent."""
    return {judgment.sample: judgment.agrees for judgment in judgments if judgment.agrees is not None}
