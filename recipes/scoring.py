"""Judges that give every response a number and read no text: a trained reward model, and a function of the user's."""

import importlib
import math
from collections.abc import Awaitable, Callable, Sequence
from numbers import Real

from ..orchestrator.errors import ConfigError, RunError
from ..orchestrator.protocols import Generate
from ..orchestrator.records import Judgment, Prompt, Rollout, Shard, TokenSequence

# As far as pairing looks (its MEAN_DECIMALS). The noise of a float32 forward pass lies below, for rewards of order one:
# a shard judged again after a crash, in other batches, then gives the same pairs. Finer than `judging.SCORE_DECIMALS`,
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
    return [_judgment(rollout, reward) for rollout, reward in zip(rollouts, rewards, strict=True)]


async def judge_function(
    shard: Shard, rollouts: Sequence[Rollout], generate: Generate, *, function: Callable[[Prompt, Rollout], float]
) -> list[Judgment]:
    """One judgment a rollout: what `function` returns. Truth values count as 0 and 1.

    Raises:
        RunError: it returned anything but a finite number.
    """
    prompts = {prompt.id: prompt for prompt in shard.prompts}
    judgments = []
    for rollout in rollouts:
        value: object = function(prompts[rollout.prompt_id], rollout)
        if not isinstance(value, Real) or not math.isfinite(value):
            raise RunError(
                f"judge.function returned {value!r:.100} for prompt {rollout.prompt_id!r}, sample {rollout.sample}",
                "let it return a finite float for every response, then resume the run",
            )
        judgments.append(_judgment(rollout, float(value)))
    return judgments


def load_function(name: str, field: str = "judge.function") -> Callable[[Prompt, Rollout], float]:
    """The function that "package.module:name" names. Its module is imported, and runs with that.

    Raises:
        ConfigError: there is no such module or function, or the module cannot be imported.
    """
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(
            f"{field}={name}: cannot import {module_name}: {error}",
            "name it as package.module:function, and put the folder that holds it into PYTHONPATH",
        ) from error
    function: Callable[[Prompt, Rollout], float] | None = getattr(module, attribute, None)
    if not callable(function):
        raise ConfigError(
            f"{field}={name}: {module_name} has no function {attribute}",
            "name a function that the module defines at its top level",
        )
    return function


def _judgment(rollout: Rollout, score: float) -> Judgment:
    return Judgment(
        prompt_id=rollout.prompt_id,
        sample=rollout.sample,
        vote=0,
        status="parsed",
        score=round(score, REWARD_DECIMALS),
        choice_mass=None,
        text="",
    )
