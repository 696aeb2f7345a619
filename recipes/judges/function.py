"""A Python function of the user's as judge."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Real
from typing import ClassVar, Literal

from ...orchestrator.data.records import Judgment, Prompt, Rollout, Shard
from ...orchestrator.errors import RunError
from ...orchestrator.parts.judge import JudgeContext, JudgePart
from ...orchestrator.parts.registry import Place, part
from ...orchestrator.parts.user_functions import FunctionName, calling, check_arguments, load_function
from ...orchestrator.protocols import Encoder, Generate, Judge
from .reward_model import rewarded


@part("judge")
class FunctionJudge(JudgePart):
    """A Python function of yours scores every response: `(prompt: Prompt, rollout: Rollout) -> float`.

    It is imported and called on the driver: name only code that you trust.
    """

    kind: Literal["function"]
    function: FunctionName
    joins_panels: ClassVar[bool] = True
    only_in_runs: ClassVar[tuple[str, str] | None] = (
        "answers are kept by all that they depend on, and a function's code is not known",
        "call it in Python (docs/evaluation.md), or choose a judge that compares, such as judge=ab, or one that "
        "scores, such as judge=expected_score",
    )

    def check_needs(self, at: Place, encoder: Encoder) -> None:
        """The function is there, and takes a prompt and a response."""
        function = load_function(self.function, f"{at}.function")
        check_arguments(function, f"{at}.function={self.function}", 2)

    def by_policy(self) -> bool:
        return False

    def scale(self) -> str:
        """The user sees to it."""
        return "by a function"

    def sentence(self) -> str:
        return f"The Python function {self.function}, by what it returns."

    def build(self, context: JudgeContext) -> Judge:
        return partial(judge_function, function=load_function(self.function, "judge.function"))


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
