"""The policy as judge, in words: reasons that end in a score by Self-Rewarding's additive rubric."""

from collections.abc import Sequence

from ...orchestrator.judge_config import AdditiveJudge
from ...orchestrator.protocols import Generate
from ...orchestrator.records import Judgment, Message, Prompt, Rollout, Shard
from .reasoned import judge_in_words
from .rubric import MAX_SCORE, rubric_case
from .score_line import score_line

FORM = score_line(0, MAX_SCORE)

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
