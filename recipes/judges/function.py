"""A Python function of the user's as judge."""

import math
from collections.abc import Callable, Sequence
from numbers import Real

from ...orchestrator.errors import RunError
from ...orchestrator.protocols import Generate
from ...orchestrator.records import Judgment, Prompt, Rollout, Shard
from ...orchestrator.user_functions import calling
from .reward_model import rewarded


async def judge_function(
    shard: Shard, rollouts: Sequence[Rollout], generate: Generate, *, function: Callable[[Prompt, Rollout], float]
) -> list[Judgment]:
    """One judgment a rollout: what `function` returns. Truth values count as 0 and 1.

    Raises:
        RunError: it raised, or returned anything but a finite number.
    """
    prompts = {prompt.id: prompt for prompt in shard.prompts}
    judgments = []
    for rollout in rollouts:
        with calling("judge.function", f"prompt {rollout.prompt_id!r}, sample {rollout.sample}"):
            value: object = function(prompts[rollout.prompt_id], rollout)
        if not isinstance(value, Real) or not math.isfinite(value):
            raise RunError(
                f"judge.function returned {value!r:.100} for prompt {rollout.prompt_id!r}, sample {rollout.sample}",
                "let it return a finite float for every response, then resume the run",
            )
        judgments.append(rewarded(rollout, float(value)))
    return judgments
