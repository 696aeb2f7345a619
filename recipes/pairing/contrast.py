"""The positive variant's response over the negative's, by construction."""

from collections.abc import Sequence

from ...orchestrator.records import PairingOutcome, Prompt, Rollout
from ...orchestrator.seeds import derive_seed
from .candidates import dropped, pair_of, remark_of, same_text, unusable


def pair_contrast(
    prompt: Prompt, rollouts: Sequence[Rollout], *, drop_truncated: bool, shuffle_seed: int | None
) -> PairingOutcome:
    """The positive variant's response over the negative's, by construction: RLCD, arXiv 2307.12950, section 3.

    With `shuffle_seed` the label is a coin flip a prompt: the control that must teach nothing. Drop reasons, in this
    order: what generation remarked where it did not make both, `truncated`, `empty` (as in the paper), `identical`.
    """
    sides = {rollout.variant: rollout for rollout in rollouts}
    chosen, rejected = sides.get("positive"), sides.get("negative")
    if chosen is None or rejected is None:
        return dropped(prompt, remark_of(rollouts))
    if reason := unusable(chosen, rejected, drop_truncated):
        return dropped(prompt, reason)
    if same_text(chosen, rejected):
        return dropped(prompt, "identical")
    if shuffle_seed is not None and derive_seed(shuffle_seed, "shuffle", prompt.id) % 2:
        chosen, rejected = rejected, chosen
    return pair_of(prompt, chosen, rejected, None, "contrast")
