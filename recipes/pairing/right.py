"""Judgments that are right, to imitate or to prefer to those that are not."""

from collections.abc import Sequence

from ...orchestrator.records import Judgment, PairingOutcome, Prompt, ResponseGroup, Rollout
from .candidates import dropped, kept, lacking, pair_of


def pair_right(
    prompt: Prompt, rollouts: Sequence[Rollout], judgments: Sequence[Judgment], *, drop_truncated: bool
) -> PairingOutcome:
    """The first judgment of a judging prompt that is right, to imitate: Self-Taught Evaluator, arXiv 2408.02666, which
    draws one of several. Samples are alike, so the first is as good a draw. Drop reasons, in this order: `truncated`
    and `empty` (none is left), `unscored` (none could be read), `none_right`."""
    candidates = kept(rollouts, drop_truncated)
    if not candidates:
        return dropped(prompt, lacking(rollouts, drop_truncated, at_least=1))
    right = _right(judgments)
    if not any(rollout.sample in right for rollout in candidates):
        return dropped(prompt, "unscored")
    imitated = next((rollout for rollout in candidates if right.get(rollout.sample)), None)
    if imitated is None:
        return dropped(prompt, "none_right")
    return PairingOutcome(
        pair=None, dropped=None, group=ResponseGroup(prompt=prompt, responses=(imitated,), scores=(1.0,))
    )


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
    right = _right(judgments)
    chosen = next((rollout for rollout in candidates if right.get(rollout.sample)), None)
    rejected = next((rollout for rollout in candidates if not right.get(rollout.sample)), None)
    if chosen is None:
        return dropped(prompt, "none_right")
    if rejected is None:
        return dropped(prompt, "all_right")
    return pair_of(prompt, chosen, rejected, None, "truth")


def _right(judgments: Sequence[Judgment]) -> dict[int, bool]:
    """Whether a judgment is right, by sample. What could not be read is absent."""
    return {judgment.sample: judgment.agrees for judgment in judgments if judgment.agrees is not None}
