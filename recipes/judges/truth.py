"""What is known as the judge of judgments: each is read as a judge's words always are, and held against the truth of
the judging prompt that it answers."""

from collections.abc import Sequence

from ...orchestrator.protocols import Generate
from ...orchestrator.records import SCORING, Judgment, Rollout, Shard, Truth
from . import additive
from .pairwise import read_verdict
from .score_line import read_score
from .verdicts import scored


async def judge_truth(shard: Shard, rollouts: Sequence[Rollout], generate: Generate) -> list[Judgment]:
    """One judgment of every judgment of two responses: 1 where its verdict is right, 0 where it is wrong or a tie
    (Self-Taught Evaluator, arXiv 2408.02666). One that cannot be read has no score: its status says so.

    A score is right only among those of other responses (EFT of Self-Rewarding, arXiv
    2401.10020): it is what the judgment scores, and `filter=ranking_agreement` decides.

    A prompt without a truth, as held-out prompts are, has no judgments. Nothing is generated.
    """
    truths = {prompt.id: prompt.truth for prompt in shard.prompts}
    return [_read(rollout, truth) for rollout in rollouts if (truth := truths[rollout.prompt_id]) is not None]


def _read(rollout: Rollout, truth: Truth) -> Judgment:
    complete = not rollout.truncated
    if truth.form in SCORING:  # the same line, after reasons or without
        status, score = read_score(rollout.text, additive.FORM, complete=complete)
        return scored(rollout, vote=0, status=status, score=score)
    status, probability = read_verdict(rollout.text, truth.form, complete=complete)
    if probability is None:
        return scored(rollout, vote=0, status=status, score=None)
    first, second = truth.ranks
    right = probability > 0.5 if first < second else probability < 0.5
    return scored(rollout, vote=0, status=status, score=float(right), agrees=right)
