"""All scored responses to a prompt, best first."""

from collections.abc import Sequence

from ...orchestrator.records import Judgment, PairingOutcome, Prompt, ResponseGroup, Rollout
from .candidates import dropped, kept, scored_candidates


def pair_group(
    prompt: Prompt,
    rollouts: Sequence[Rollout],
    judgments: Sequence[Judgment],
    *,
    min_responses: int,
    drop_ties: bool,
    drop_truncated: bool,
) -> PairingOutcome:
    """Every scored response, best first, equals in the order they were sampled.

    Identical texts stay: each is a sample of its own in a policy gradient. Drop reasons, in this order: `truncated` and
    `unscored` (fewer than `min_responses` candidates are left), `tie` (with `drop_ties`: all scores are equal, which a
    single response's is too).
    """
    candidates = kept(rollouts, drop_truncated)
    if len(candidates) < min_responses:
        return dropped(prompt, "truncated")
    scored = scored_candidates(candidates, judgments)
    if len(scored) < min_responses:
        return dropped(prompt, "unscored")
    ranked = sorted(scored, key=lambda one: (-one.score, one.rollout.sample))
    if drop_ties and ranked[0].score == ranked[-1].score:
        return dropped(prompt, "tie")
    group = ResponseGroup(
        prompt=prompt,
        responses=tuple(one.rollout for one in ranked),
        scores=tuple(one.score for one in ranked),
    )
    return PairingOutcome(pair=None, dropped=None, group=group)
