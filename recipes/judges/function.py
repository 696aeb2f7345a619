"""A Python function of the user's as judge."""

import importlib
import math
from collections.abc import Callable, Sequence
from numbers import Real

from ...orchestrator.errors import ConfigError, RunError
from ...orchestrator.protocols import Generate
from ...orchestrator.records import Judgment, Prompt, Rollout, Shard
from .reward_model import rewarded


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
        judgments.append(rewarded(rollout, float(value)))
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
