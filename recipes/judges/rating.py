"""The policy as judge, in words: reasons that end in a single rating from 1 to 10."""

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
from .rendering import DISCLAIMER, render_prompt, render_response
from .score_line import ScoreForm, bracketed_rating
from .voted import VotedJudge

FORM = bracketed_rating(1, 10)


@part("judge")
class RatingJudge(VotedJudge):
    """The policy, in words: reasons and MT-bench's single rating from 1 to 10 (arXiv 2306.05685), the mean of `votes`
    answers."""

    kind: Literal["rating"]
    votes: PositiveInt
    sampling: SamplingConfig
    constrain_last_line: bool  # decode the digit after "[[" among 1–9 only
    version: ClassVar[int] = 2  # one grammar of score lines and verdicts, in which no thought is read
    form: ClassVar[ScoreForm] = FORM

    def sentence(self) -> str:
        return f"The policy, in words, by a rating from 1 to 10: the mean of {counted(self.votes, 'vote')}."

    def build(self, context: JudgeContext) -> Judge:
        return partial(judge_rating, config=self, seed_parts=context.seed_parts)


_TASK = (
    "Rate how well an assistant's response serves the user, from 1 (useless) to 10 (could not be better). Look at "
    "whether it helps, is to the point, is correct, goes deep enough, and says no more than it should.\n"
)
_ASK_RATING = (
    "Write a short explanation first, without favour for length or style. Then give the rating, in double brackets, on "
    "a last line of exactly this form:\n"
    "Rating: [[<number from 1 to 10>]]"
)


async def judge_rating(
    shard: Shard,
    rollouts: Sequence[Rollout],
    generate: Generate,
    *,
    config: RatingJudge,
    seed_parts: tuple[int | str, ...],
) -> list[Judgment]:
    """`votes` judgments a rollout, each reasons that end in [[rating]] from 1 to 10: MT-bench's single-answer grading,
    arXiv 2306.05685, as FastChat reads it. The prompt is our own. With `constrain_last_line` the rating is decoded
    among 1–9: 10 is two digits."""
    return await judge_in_words(
        [(rollout, vote) for rollout in rollouts for vote in range(config.votes)],
        {prompt.id: prompt for prompt in shard.prompts},
        generate,
        case=_case,
        form=FORM,
        sampling=config.sampling,
        constrain_last_line=config.constrain_last_line,
        seed_parts=(*seed_parts, shard.round),
    )


def _case(prompt: Prompt, rollout: Rollout) -> tuple[Message, ...]:
    """What is the same for all cases comes first, and is cached once."""
    case = render_prompt(prompt) + render_response(rollout)
    return (Message(role="user", content=f"{_TASK}{DISCLAIMER}{case}\n{_ASK_RATING}"),)
