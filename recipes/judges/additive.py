"""The policy as judge, in words: reasons that end in a score by Self-Rewarding's additive rubric."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal

from ...orchestrator.data.records import Judgment, Message, Prompt, Rollout, Shard
from ...orchestrator.fields import PositiveInt
from ...orchestrator.parts.judge import JudgeContext
from ...orchestrator.parts.registry import part
from ...orchestrator.parts.sampling import SamplingConfig
from ...orchestrator.parts.wording import counted
from ...orchestrator.protocols import Generate, Judge
from .reasoned import judge_in_words
from .rubric import MAX_SCORE, rubric_case
from .score_line import ScoreForm, score_line
from .voted import VotedJudge

FORM = score_line(0, MAX_SCORE)


@part("judge")
class AdditiveJudge(VotedJudge):
    """The policy, in free text, by Self-Rewarding's additive 0–5 rubric (arXiv 2401.10020): the mean of the parsed
    scores of `votes` answers."""

    kind: Literal["additive"]
    votes: PositiveInt
    sampling: SamplingConfig
    constrain_last_line: bool  # decode the digit after "Score:" among 0–5 only
    version: ClassVar[int] = 2  # one grammar of score lines and verdicts, in which no thought is read
    form: ClassVar[ScoreForm] = FORM

    def sentence(self) -> str:
        return (
            "The policy, in words, by a rubric that adds up points from 0 to 5: the mean of "
            f"{counted(self.votes, 'vote')}; what cannot be parsed does not count."
        )

    def build(self, context: JudgeContext) -> Judge:
        return partial(judge_additive, config=self, seed_parts=context.seed_parts)


_ASK_REASONED = (
    "First explain your judgment in at most 100 words. Then end with one last line of exactly this form:\n"
    "Score: <total points from 0 to 5>"
)


async def judge_additive(
    shard: Shard,
    rollouts: Sequence[Rollout],
    generate: Generate,
    *,
    config: AdditiveJudge,
    seed_parts: tuple[int | str, ...],
) -> list[Judgment]:
    """`votes` judgments a rollout, each free-text reasoning that ends in a score: Self-Rewarding LMs,
    arXiv 2401.10020, section 2.2. With `constrain_last_line` the score after the reasoning is decoded among 0–5."""
    return await judge_in_words(
        [(rollout, vote) for rollout in rollouts for vote in range(config.votes)],
        {prompt.id: prompt for prompt in shard.prompts},
        generate,
        case=additive_case,
        form=FORM,
        sampling=config.sampling,
        constrain_last_line=config.constrain_last_line,
        seed_parts=(*seed_parts, shard.round),
    )


def additive_case(prompt: Prompt, rollout: Rollout) -> tuple[Message, ...]:
    """The judging prompt of one response, for reasons and a score."""
    return rubric_case(prompt, rollout, _ASK_REASONED)
