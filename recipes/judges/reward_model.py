"""A reward model as judge: it gives every response a number and reads no text."""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

from ...orchestrator.errors import RunError
from ...orchestrator.protocols import Generate
from ...orchestrator.records import Judgment, Rollout, Shard, TokenSequence
from .attributes import weighted
from .verdicts import scored

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
    rows = await _scores(rollouts, score)
    return [rewarded(rollout, reward) for rollout, (reward,) in zip(rollouts, rows, strict=True)]


async def judge_attribute_model(
    shard: Shard, rollouts: Sequence[Rollout], generate: Generate, *, score: Score, weights: Mapping[str, float]
) -> list[Judgment]:
    """One judgment a rollout: the attributes' values of the response under the plain prompt, and as score their
    weighted sum: SteerLM's attribute model, arXiv 2310.05344. `score` gives a sequence one number an attribute.

    Raises:
        RunError: a value is not finite.
    """
    rows = await _scores(rollouts, score)
    return [
        scored(
            rollout,
            vote=0,
            status="parsed",
            score=weighted(row, weights),
            attributes=tuple(round(value, REWARD_DECIMALS) for value in row),
        )
        for rollout, row in zip(rollouts, rows, strict=True)
    ]


async def _scores(rollouts: Sequence[Rollout], score: Score) -> list[list[float]]:
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
