"""What all rules share: a prompt's candidates, their scores, and the pair or the drop that comes of them.

An empty response, white space alone included, is no candidate (see `kept`): nothing is learnt from it, as the better
one or the worse. A response's score is the mean of its parsed votes; one without any never enters. Among responses that
a rule cannot tell apart the first sampled stands for all, so nothing depends on the order of rollouts or judgments.
Lengths are in characters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ...orchestrator.data.records import Dropped, Judgment, PairingOutcome, PreferencePair, Prompt, Provenance, Rollout
from ...orchestrator.data.seeds import derive_seed

MEAN_DECIMALS = 6  # equal votes in another order have equal means: rounding noise makes no pair


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """A response and its score.

    Example:
        Scored(rollout=rollout, score=3.5)
    """

    rollout: Rollout
    score: float

    @property
    def chars(self) -> int:
        return len(self.rollout.text)


# From two or more scored responses, in the order they were sampled: the chosen and the rejected one.
Pick: TypeAlias = Callable[[Sequence[Scored]], tuple[Scored, Scored]]


def paired(
    prompt: Prompt,
    rollouts: Sequence[Rollout],
    judgments: Sequence[Judgment],
    drop_truncated: bool,
    pick: Pick,
    min_margin: float = 0.0,
) -> PairingOutcome:
    """What `pick` takes, unless one of the reasons that all rules share drops the prompt.

    In this order: `truncated`, `empty` and `unscored` (fewer than two candidates are left), then those of
    `scored_pair`.
    """
    candidates = kept(rollouts, drop_truncated)
    if len(candidates) < 2:
        return dropped(prompt, lacking(rollouts, drop_truncated, at_least=2))
    scored = scored_candidates(candidates, judgments)
    if len(scored) < 2:
        return dropped(prompt, "unscored")
    chosen, rejected = pick(scored)
    return scored_pair(prompt, chosen, rejected, min_margin)


def scored_pair(prompt: Prompt, chosen: Scored, rejected: Scored, min_margin: float = 0.0) -> PairingOutcome:
    """`chosen` over `rejected`, if the scores say so too.

    Drop reasons, in this order: `inverted` (the chosen one scores lower), `tie` (it scores at most `min_margin`
    higher), `identical` (their texts are equal).
    """
    margin = round(chosen.score - rejected.score, MEAN_DECIMALS)
    if margin < 0:
        return dropped(prompt, "inverted")
    if margin <= min_margin:
        return dropped(prompt, "tie")
    if same_text(chosen.rollout, rejected.rollout):
        return dropped(prompt, "identical")
    return pair_of(prompt, chosen.rollout, rejected.rollout, margin, "judge")


def kept(rollouts: Sequence[Rollout], drop_truncated: bool, *, drop_empty: bool = True) -> list[Rollout]:
    """The candidates in the order they were sampled: the responses without those cut by the token limit, where they
    are dropped, and without empty ones. Empty ones stay (`drop_empty` False) where an objective has a reward of its own
    for them."""
    return [
        rollout
        for rollout in sorted(rollouts, key=lambda rollout: rollout.sample)
        if not rollout.interim and not (drop_truncated and rollout.truncated) and not (drop_empty and is_empty(rollout))
    ]


def is_empty(rollout: Rollout) -> bool:
    """Whether a response says nothing: it has no text, or white space alone."""
    return not rollout.text.strip()


def lacking(rollouts: Sequence[Rollout], drop_truncated: bool, *, at_least: int) -> str:
    """Why fewer than `at_least` candidates are left: `truncated` where whole responses are too few already, else
    `empty`."""
    return "truncated" if len(kept(rollouts, drop_truncated, drop_empty=False)) < at_least else "empty"


def scored_candidates(candidates: Sequence[Rollout], judgments: Sequence[Judgment]) -> list[Scored]:
    """The candidates that have a score, in their order."""
    scores = mean_scores(judgments)
    return [Scored(rollout=rollout, score=scores[rollout.sample]) for rollout in candidates if rollout.sample in scores]


def best_of(scored: Sequence[Scored]) -> Scored:
    """The highest-scored response, the first sampled among equals."""
    return max(scored, key=lambda one: one.score)


def worst_of(scored: Sequence[Scored]) -> Scored:
    """The lowest-scored response, the first sampled among equals."""
    return min(scored, key=lambda one: one.score)


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


def unusable(a: Rollout, b: Rollout, drop_truncated: bool) -> str | None:
    """Why two responses can be no pair whatever a judge says: `truncated`, or `empty` (one is blank); else None."""
    if drop_truncated and (a.truncated or b.truncated):
        return "truncated"
    return "empty" if is_empty(a) or is_empty(b) else None


def drawn(prompt: Prompt, scored: Sequence[Scored], count: int, seed: int) -> list[Scored]:
    """`count` of the responses (all, where there are fewer), still in the order they were sampled.

    They are those with the smallest lots. A lot depends on nothing but its own response's place among the samples.
    """
    lots = sorted(scored, key=lambda one: derive_seed(seed, "draw", prompt.id, one.rollout.sample))
    return sorted(lots[:count], key=lambda one: one.rollout.sample)


def pair_of(
    prompt: Prompt,
    chosen: Rollout,
    rejected: Rollout,
    margin: float | None,
    provenance: Provenance,
    label_probability: float = 1.0,
) -> PairingOutcome:
    """`chosen` over `rejected`: hard, unless `label_probability` is less than 1."""
    pair = PreferencePair(
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        margin=margin,
        label_probability=label_probability,
        provenance=provenance,
    )
    return PairingOutcome(pair=pair, dropped=None)


def remark_of(rollouts: Sequence[Rollout]) -> str:
    """Why generation went no further: what it said last of a prompt that it gave no response, or not all of them."""
    remarks = [rollout.remark for rollout in rollouts if rollout.remark]
    assert remarks, "generation says why it gives no response"
    return remarks[-1]


def dropped(prompt: Prompt, reason: str) -> PairingOutcome:
    """No pair of this prompt, and why."""
    return PairingOutcome(pair=None, dropped=Dropped(prompt_id=prompt.id, reason=reason))
