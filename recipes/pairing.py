"""Which responses make a pair or a group, and why a prompt makes none. Ties never become labels."""

from collections.abc import Sequence

from ..orchestrator.records import (
    Dropped,
    Judgment,
    PairingOutcome,
    PreferencePair,
    Prompt,
    Provenance,
    ResponseGroup,
    Rollout,
)
from ..orchestrator.seeds import derive_seed

MEAN_DECIMALS = 6  # equal votes in another order have equal means: rounding noise makes no pair


def pair_best_worst(
    prompt: Prompt,
    rollouts: Sequence[Rollout],
    judgments: Sequence[Judgment],
    *,
    min_margin: float,
    drop_truncated: bool,
) -> PairingOutcome:
    """The best-scored response over the worst: Self-Rewarding LMs, arXiv 2401.10020, section 2.3.

    A response's score is the mean of its parsed votes. Among equally scored responses the first sampled stands for all.
    Drop reasons, in this order: `truncated` and `unscored` (fewer than two candidates are left), `tie` (best and worst
    are at most `min_margin` apart), `identical` (their texts are equal).
    """
    candidates = [rollout for rollout in rollouts if not (drop_truncated and rollout.truncated)]
    if len(candidates) < 2:
        return _drop(prompt, "truncated")
    scores = mean_scores(judgments)
    scored = [rollout for rollout in candidates if rollout.sample in scores]
    if len(scored) < 2:
        return _drop(prompt, "unscored")
    chosen = max(scored, key=lambda rollout: (scores[rollout.sample], -rollout.sample))
    rejected = min(scored, key=lambda rollout: (scores[rollout.sample], rollout.sample))
    margin = round(scores[chosen.sample] - scores[rejected.sample], MEAN_DECIMALS)
    if margin <= min_margin:
        return _drop(prompt, "tie")
    if same_text(chosen, rejected):
        return _drop(prompt, "identical")
    return _pair(prompt, chosen, rejected, margin, "judge")


def pair_contrast(
    prompt: Prompt, rollouts: Sequence[Rollout], *, drop_truncated: bool, shuffle_seed: int | None
) -> PairingOutcome:
    """The positive variant's response over the negative's, by construction: RLCD, arXiv 2307.12950, section 3.

    With `shuffle_seed` the label is a coin flip a prompt: the control that must teach nothing. Drop reasons, in this
    order: `truncated`, `empty` (as in the paper), `identical`.
    """
    (chosen,) = (rollout for rollout in rollouts if rollout.variant == "positive")
    (rejected,) = (rollout for rollout in rollouts if rollout.variant == "negative")
    if drop_truncated and (chosen.truncated or rejected.truncated):
        return _drop(prompt, "truncated")
    if not chosen.text.strip() or not rejected.text.strip():
        return _drop(prompt, "empty")
    if same_text(chosen, rejected):
        return _drop(prompt, "identical")
    if shuffle_seed is not None and derive_seed(shuffle_seed, "shuffle", prompt.id) % 2:
        chosen, rejected = rejected, chosen
    return _pair(prompt, chosen, rejected, None, "contrast")


def pair_soft(
    prompt: Prompt, rollouts: Sequence[Rollout], judgments: Sequence[Judgment], *, drop_truncated: bool
) -> PairingOutcome:
    """The more probable of two responses over the other, with its probability as a soft label: the RLAIF baseline of
    RLCD, arXiv 2307.12950.

    The probability is the mean over the parsed judgments. Where the two orders of asking contradict each other (one
    above a half, one below) the mean decides, and its soft label carries the contradiction as uncertainty: a judge that
    goes by the order alone comes out even. Drop reasons, in this order: `truncated`, `empty` (a response is blank),
    `unscored` (no judgment was parsed), `tie` (exactly even), `identical`.
    """
    first, second = sorted(rollouts, key=lambda rollout: rollout.sample)
    if drop_truncated and (first.truncated or second.truncated):
        return _drop(prompt, "truncated")
    if not first.text.strip() or not second.text.strip():
        return _drop(prompt, "empty")
    probability = mean_probability(judgments)
    if probability is None:
        return _drop(prompt, "unscored")
    if probability == 0.5:
        return _drop(prompt, "tie")
    if same_text(first, second):
        return _drop(prompt, "identical")
    if probability > 0.5:
        return _pair(prompt, first, second, None, "judge", probability)
    return _pair(prompt, second, first, None, "judge", round(1.0 - probability, MEAN_DECIMALS))


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
    candidates = [rollout for rollout in rollouts if not (drop_truncated and rollout.truncated)]
    if len(candidates) < min_responses:
        return _drop(prompt, "truncated")
    scores = mean_scores(judgments)
    scored = [rollout for rollout in candidates if rollout.sample in scores]
    if len(scored) < min_responses:
        return _drop(prompt, "unscored")
    ranked = sorted(scored, key=lambda rollout: (-scores[rollout.sample], rollout.sample))
    if drop_ties and scores[ranked[0].sample] == scores[ranked[-1].sample]:
        return _drop(prompt, "tie")
    group = ResponseGroup(
        prompt=prompt, responses=tuple(ranked), scores=tuple(scores[rollout.sample] for rollout in ranked)
    )
    return PairingOutcome(pair=None, dropped=None, group=group)


def mean_scores(judgments: Sequence[Judgment]) -> dict[int, float]:
    """The mean of the parsed votes by sample. Samples without a parsed vote are absent."""
    votes: dict[int, list[float]] = {}
    for judgment in judgments:
        if judgment.score is not None:
            votes.setdefault(judgment.sample, []).append(judgment.score)
    return {sample: round(sum(scores) / len(scores), MEAN_DECIMALS) for sample, scores in votes.items()}


def mean_probability(judgments: Sequence[Judgment]) -> float | None:
    """The mean probability, over the parsed judgments of two responses, that the first sampled is the better one."""
    probabilities = [
        judgment.probability if judgment.sample < judgment.other else 1.0 - judgment.probability
        for judgment in judgments
        if judgment.probability is not None and judgment.other is not None
    ]
    return round(sum(probabilities) / len(probabilities), MEAN_DECIMALS) if probabilities else None


def same_text(a: Rollout, b: Rollout) -> bool:
    """Whether two responses say the same, whitespace at the ends aside."""
    return a.text.strip() == b.text.strip()


def _pair(
    prompt: Prompt,
    chosen: Rollout,
    rejected: Rollout,
    margin: float | None,
    provenance: Provenance,
    label_probability: float = 1.0,
) -> PairingOutcome:
    pair = PreferencePair(
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        margin=margin,
        label_probability=label_probability,
        provenance=provenance,
    )
    return PairingOutcome(pair=pair, dropped=None)


def _drop(prompt: Prompt, reason: str) -> PairingOutcome:
    return PairingOutcome(pair=None, dropped=Dropped(prompt_id=prompt.id, reason=reason))
