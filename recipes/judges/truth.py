"""What is known as the judge of judgments: each is read as a judge's words always are, and held against the truth of
the judging prompt that it answers."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from ...orchestrator.data.records import SCORING, Judgment, Rollout, Shard, Truth
from ...orchestrator.errors import ConfigError
from ...orchestrator.parts.counts import AT_MOST, Count
from ...orchestrator.parts.judge import JudgeContext, JudgePart
from ...orchestrator.parts.registry import Place, part
from ...orchestrator.protocols import Generate, Judge
from . import additive
from .pairwise import read_verdict
from .rubric import MAX_SCORE
from .score_line import read_score
from .verdicts import scored


@part("judge")
class TruthJudge(JudgePart):
    """What is known of the responses that a judgment judges: 1 or 0 for a verdict; the score that it gives, for
    filter=ranking_agreement."""

    kind: Literal["truth"]
    version: ClassVar[int] = 2  # one grammar of score lines and verdicts, in which no thought is read
    of_responses: ClassVar[bool] = False
    knows_truth: ClassVar[bool] = True

    def check_evaluating(self, at: Place) -> None:
        """Held-out prompts are no judging prompts."""
        raise ConfigError(
            f"{at}.kind=truth: nothing is known of the responses to held-out prompts",
            f"choose judge@{at}=expected_score",
        )

    def by_policy(self) -> bool:
        return False

    def score_points(self) -> tuple[float, ...]:
        """The truth of a rubric's score is that score; of a verdict it is 0 or 1."""
        return tuple(map(float, range(MAX_SCORE + 1)))

    def judgments_of(self, responses: Count) -> Count:
        return Count(number=responses.number, bound=responses.bound or AT_MOST)

    def sentence(self) -> str:
        return "What is known of the judged responses: whether a judgment agrees with it."

    def build(self, context: JudgeContext) -> Judge:
        return judge_truth


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
