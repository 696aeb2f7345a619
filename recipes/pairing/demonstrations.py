"""Responses to imitate, without any to compare them with."""

from collections.abc import Sequence

from ...orchestrator.records import PairingOutcome, Prompt, ResponseGroup, Rollout
from .candidates import dropped, kept


def pair_demonstrations(prompt: Prompt, rollouts: Sequence[Rollout], *, drop_truncated: bool) -> PairingOutcome:
    """A group of what supervised learning imitates: of ranked responses the best one, of sampled ones all.

    Responses to negative contrast prompts never are. Drop reasons, in this order: `truncated`, `empty`.
    """
    candidates = [
        rollout
        for rollout in kept(rollouts, drop_truncated)
        if rollout.variant in ("plain", "positive") or (rollout.variant == "ranked" and rollout.sample == 0)
    ]
    if not candidates:
        return dropped(prompt, "truncated")
    written = tuple(rollout for rollout in candidates if rollout.text.strip())
    if not written:
        return dropped(prompt, "empty")
    return PairingOutcome(pair=None, dropped=None, group=ResponseGroup(prompt=prompt, responses=written, scores=()))
