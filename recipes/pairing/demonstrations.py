"""Responses to imitate, without any to compare them with."""

from collections.abc import Sequence

from ...orchestrator.records import PairingOutcome, Prompt, ResponseGroup, Rollout
from .candidates import dropped, kept, lacking


def pair_demonstrations(prompt: Prompt, rollouts: Sequence[Rollout], *, drop_truncated: bool) -> PairingOutcome:
    """A group of what supervised learning imitates: of ranked responses the best one, of sampled ones all.

    Responses to negative contrast prompts never are. Drop reasons, in this order: `truncated`, `empty`.
    """
    shown = [
        rollout
        for rollout in rollouts
        if rollout.variant in ("plain", "positive") or (rollout.variant == "ranked" and rollout.sample == 0)
    ]
    candidates = tuple(kept(shown, drop_truncated))
    if not candidates:
        return dropped(prompt, lacking(shown, drop_truncated, at_least=1))
    return PairingOutcome(pair=None, dropped=None, group=ResponseGroup(prompt=prompt, responses=candidates, scores=()))
