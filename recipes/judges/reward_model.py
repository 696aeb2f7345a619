"""A reward model as judge: it gives every response a number and reads no text."""

import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import ClassVar, Literal, TypeAlias

from ...orchestrator.data.records import Judgment, Rollout, Shard, TokenSequence
from ...orchestrator.errors import RunError
from ...orchestrator.parts.judge import REWARD_MODEL, JudgeContext, JudgePart
from ...orchestrator.parts.registry import part
from ...orchestrator.protocols import Generate, Judge, Scorers
from .verdicts import scored


@part("judge")
class RewardModelJudge(JudgePart):
    """The run's newest reward model, which an earlier phase has trained, scores every response."""

    kind: Literal["reward_model"]
    joins_panels: ClassVar[bool] = True
    trained_by: ClassVar[str | None] = "reward_model"

    def by_policy(self) -> bool:
        return False

    def models(self, *, own_logps: bool) -> tuple[str, ...]:
        return (REWARD_MODEL,)

    def sentence(self) -> str:
        return "The newest reward model that an earlier phase has trained, by its score."

    def build(self, context: JudgeContext) -> Judge:
        assert context.scorers is not None, "a run that judges by a reward model has scorers"
        return partial(judge_by_newest, scorers=context.scorers, judge=judge_reward_model)


# As far as pairing looks (its MEAN_DECIMALS). The noise of a float32 forward pass lies below, for rewards of order one:
# a shard judged again after a crash, in other batches, then gives the same pairs. Finer than `verdicts.SCORE_DECIMALS`,
# because a reward has no scale of its own.
REWARD_DECIMALS = 6

# A reward model: of every sequence its score, or one an attribute.
Score: TypeAlias = Callable[[Sequence[TokenSequence]], Awaitable[list[list[float]]]]


async def judge_reward_model(
    shard: Shard,
    rollouts: Sequence[Rollout],
    generate: Generate,
    *,
    score: Score,
) -> list[Judgment]:
    """One judgment a rollout: the reward of the response under the plain prompt. `score` gives one reward a sequence.

    Raises:
        RunError: a reward is not finite.
    """
    rows = await finite_scores(rollouts, score)
    return [rewarded(rollout, reward) for rollout, (reward,) in zip(rollouts, rows, strict=True)]


async def judge_by_newest(
    shard: Shard,
    rollouts: Sequence[Rollout],
    generate: Generate,
    *,
    scorers: Scorers,
    judge: Callable[..., Awaitable[list[Judgment]]],
) -> list[Judgment]:
    """By the newest reward model. Before a phase has trained one nothing is judged: the first evaluations have none."""
    if REWARD_MODEL not in scorers.models:
        return []
    return await judge(shard, rollouts, generate, score=partial(scorers.score, REWARD_MODEL))


async def finite_scores(rollouts: Sequence[Rollout], score: Score) -> list[list[float]]:
    rows = await score(
        [TokenSequence(prompt_token_ids=rollout.prompt_token_ids, token_ids=rollout.token_ids) for rollout in rollouts]
    )
    for rollout, row in zip(rollouts, rows, strict=True):
        if not all(map(math.isfinite, row)):
            raise RunError(
                f"the reward model gave {', '.join(map(str, row))} for prompt {rollout.prompt_id!r}, sample "
                f"{rollout.sample}",
                "look at the loss and the gradient norm of the phase that trained it: with a lower "
                "learner.learning_rate there, start the run anew",
            )
    return rows


def rewarded(rollout: Rollout, reward: float) -> Judgment:
    """The single vote of a judge that gives numbers."""
    return scored(rollout, vote=0, status="parsed", score=round(reward, REWARD_DECIMALS))
