"""The pair of the round before, its chosen response replaced by a better one."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal

from ...orchestrator.data.records import Judgment, PairingOutcome, Prompt, Rollout
from ...orchestrator.parts.pairing import Pair, PairingContext, PairingPart
from ...orchestrator.parts.registry import part
from ...orchestrator.round.again import CHOSEN_BEFORE, REJECTED_BEFORE
from .candidates import best_of, dropped, kept, scored_candidates, scored_pair


@part("pairing")
class FutureGuidedPairing(PairingPart):
    """The pair of the round before, its chosen response replaced where a new one scores higher; a tie or an inverted
    pair is none (Temporal Self-Rewarding, phase 2, arXiv 2508.06026)."""

    kind: Literal["future_guided"]
    version: ClassVar[int] = 2  # no empty response comes into a pair or a group
    goes_on: ClassVar[bool] = True

    def sentence(self) -> str:
        return "The pair of the round before, with the best-scored new response as chosen where it scores higher."

    def build(self, context: PairingContext) -> Pair:
        return partial(pair_future_guided, drop_truncated=context.drop_truncated)


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
