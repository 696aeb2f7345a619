"""A reward model as judge: it gives every response a number and reads no text."""

import math
from collections.abc import Awaitable, Callable, Sequence

from ...orchestrator.errors import RunError
from ...orchestrator.protocols import Generate
from ...orchestrator.records import Judgment, Rollout, Shard, TokenSequence
from .verdicts import scored

# As far as pairing looks (its MEAN_DECIMALS). The noise of a float32 forward pass lies below, for rewards of order one:
# a shard judged again after a crash, in other batches, then gives the same pairs. Finer than `verdicts.SCORE_DECIMALS`,
# because a reward has no scale of its own.
REWARD_DECIMALS = 6


async def judge_reward_model(
    shard: Shard,
    rollouts: Sequence[Rollout],
    generate: Generate,
    *,
    score: Callable[[Sequence[TokenSequence]], Awaitable[list[float]]],
) -> list[Judgment]:
    """One judgment a rollout: the reward of the response under the plain prompt. `score` gives one reward a sequence.

    Raises:
        RunError: a reward is not finite.
    """
    rewards = await score(
        [TokenSequence(prompt_token_ids=rollout.prompt_token_ids, token_ids=rollout.token_ids) for rollout in rollouts]
    )
    for rollout, reward in zip(rollouts, rewards, strict=True):
        if not math.isfinite(reward):
            raise RunError(
                f"the reward model gave {reward} for prompt {rollout.prompt_id!r}, sample {rollout.sample}",
                "look at the loss and the gradient norm of the phase that trained it: with a lower "
                "learner.learning_rate there, start the run anew",
            )
    return [rewarded(rollout, reward) for rollout, reward in zip(rollouts, rewards, strict=True)]


def rewarded(rollout: Rollout, reward: float) -> Judgment:
    """The single vote of a judge that gives numbers."""
    return scored(rollout, vote=0, status="parsed", score=round(reward, REWARD_DECIMALS))
