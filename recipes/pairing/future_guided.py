"""The pair of the round before, its chosen response replaced by a better one."""

from collections.abc import Sequence

from ...orchestrator.again import CHOSEN_BEFORE, REJECTED_BEFORE
from ...orchestrator.records import Judgment, PairingOutcome, Prompt, Rollout
from .candidates import best_of, dropped, kept, scored_candidates, scored_pair


def pair_future_guided(
    prompt: Prompt, rollouts: Sequence[Rollout], judgments: Sequence[Judgment], *, drop_truncated: bool
) -> PairingOutcome:
    """Future-guided chosen: phase 2 of Temporal Self-Rewarding, arXiv 2508.06026.

    Rejected is what the round before rejected. Chosen is the best of this round's responses, the future policy's, if it
    scores higher than what the round before chose, else that. Drop reasons: `no_pair_before`, and those of
    `candidates.scored_pair`: what another rule paired in the round before may tie by these scores.
    """
    scored = scored_candidates(kept(rollouts, drop_truncated=False), judgments)
    by_name = {one.rollout.sampler: one for one in scored}
    if CHOSEN_BEFORE not in by_name or REJECTED_BEFORE not in by_name:
        return dropped(prompt, "no_pair_before")
    chosen, rejected = by_name[CHOSEN_BEFORE], by_name[REJECTED_BEFORE]
    future = [one for one in scored if one.rollout.sampler not in (CHOSEN_BEFORE, REJECTED_BEFORE)]
    future = [one for one in future if not (drop_truncated and one.rollout.truncated)]
    return scored_pair(prompt, best_of([chosen, *future]), rejected)
