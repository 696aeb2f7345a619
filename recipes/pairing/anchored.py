"""The policy's best response over the worst of its own and an earlier policy's."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal

from ...orchestrator.data.records import Judgment, PairingOutcome, Prompt, Rollout
from ...orchestrator.parts.pairing import Pair, PairingContext, PairingPart
from ...orchestrator.parts.registry import part
from ...orchestrator.parts.sampling import POLICY
from .candidates import Scored, best_of, dropped, kept, lacking, paired, scored_candidates, worst_of


@part("pairing")
class AnchoredPairing(PairingPart):
    """The policy's best over the worst of its own and the initial policy's, with generation.samplers=[policy, initial]
    (Temporal Self-Rewarding, phase 1, arXiv 2508.06026)."""

    kind: Literal["anchored"]
    version: ClassVar[int] = 2  # no empty response comes into a pair or a group
    samplers: ClassVar[tuple[str, ...] | None] = (POLICY, "initial")

    def sentence(self) -> str:
        return "The policy's best-scored response over the worst of its own and the initial policy's."

    def build(self, context: PairingContext) -> Pair:
        return partial(pair_anchored, drop_truncated=context.drop_truncated)


def pair_anchored(
    prompt: Prompt, rollouts: Sequence[Rollout], judgments: Sequence[Judgment], *, drop_truncated: bool
) -> PairingOutcome:
    """Anchored rejection: phase 1 of Temporal Self-Rewarding, arXiv 2508.06026.

    Chosen is the best of the policy's responses. Rejected is the worst of the initial policy's where that is worse than
    the worst of the policy's, else the worst of the policy's. Drop reasons: those of `candidates.paired`, which also
    drop what is not better than the rejected one; `truncated`, `empty` and `unscored` also where none of the policy's
    is left.
    """
    of_policy = [rollout for rollout in rollouts if rollout.sampler == POLICY]
    candidates = kept(of_policy, drop_truncated)
    if not scored_candidates(candidates, judgments):
        return dropped(prompt, "unscored" if candidates else lacking(of_policy, drop_truncated, at_least=1))

    def pick(scored: Sequence[Scored]) -> tuple[Scored, Scored]:
        own = [one for one in scored if one.rollout.sampler == POLICY]
        anchors = [one for one in scored if one.rollout.sampler != POLICY]
        return best_of(own), worst_of([worst_of(own), *anchors])

    return paired(prompt, rollouts, judgments, drop_truncated, pick)
