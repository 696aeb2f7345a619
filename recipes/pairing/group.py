"""All scored responses to a prompt, best first."""

from collections.abc import Sequence

from ...orchestrator.records import Judgment, PairingOutcome, Prompt, ResponseGroup, Rollout
from .candidates import dropped, kept, lacking, scored_candidates


def pair_group(
    prompt: Prompt,
    rollouts: Sequence[Rollout],
    judgments: Sequence[Judgment],
    *,
    min_responses: int,
    drop_ties: bool,
    drop_truncated: bool,
    drop_empty: bool = True,
) -> PairingOutcome:
    """Every scored response, best first, equals in the order they were sampled.

    Identical texts stay: each is a sample of its own in a policy gradient. Empty ones stay only where the objective has
    a reward for them (`drop_empty` False). Drop reasons, in this order: `truncated`, `empty` and `unscored` (fewer than
    `min_responses` candidates are left), `tie` (with `drop_ties`: all scores are equal, which a single response's is
    too).
    """
    candidates = kept(rollouts, drop_truncated, drop_empty=drop_empty)
    if len(candidates) < min_responses:
        return dropped(prompt, lacking(rollouts, drop_truncated, at_least=min_responses))
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
