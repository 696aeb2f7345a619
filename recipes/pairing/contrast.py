"""The positive variant's response over the negative's, by construction."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from ...orchestrator.data.records import PairingOutcome, Prompt, Rollout
from ...orchestrator.data.seeds import derive_seed
from ...orchestrator.parts.pairing import Pair, PairingContext, PairingPart, Takes
from ...orchestrator.parts.registry import part
from .candidates import dropped, pair_of, remark_of, same_text, unusable


@part("pairing")
class ContrastPairing(PairingPart):
    """The response to the positive prompt over that to the negative one, by construction (RLCD, arXiv 2307.12950).
    `shuffle_labels` is the control experiment."""

    kind: Literal["contrast"]
    shuffle_labels: bool
    takes: ClassVar[Takes] = "sides"

    def sentence(self) -> str:
        if self.shuffle_labels:
            return "The two responses with labels drawn by lot: a control, from which nothing can be learnt."
        return "The response under the positive description over the one under the negative, by construction."

    def build(self, context: PairingContext) -> Pair:
        # Held-out pairs keep their true labels: it is them that the control must fail on.
        shuffle = context.run_seed if self.shuffle_labels and context.split == "train" else None
        return lambda prompt, rollouts, _: pair_contrast(
            prompt, rollouts, drop_truncated=context.drop_truncated, shuffle_seed=shuffle
        )


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
