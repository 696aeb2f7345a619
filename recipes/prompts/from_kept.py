"""New prompts by the example of good ones: a list of prompts that survived earlier rounds is continued."""

from functools import partial
from typing import ClassVar, Literal

from ...orchestrator.data.records import Prompt
from ...orchestrator.errors import RunError
from ...orchestrator.fields import PositiveInt
from ...orchestrator.parts.registry import part
from ...orchestrator.parts.sampling import SamplingConfig
from ...orchestrator.parts.wording import counted
from ...orchestrator.protocols import PromptSources
from .asking import Ask, Asked, Pool, Read, ask_list, drawn, is_single, read_list
from .filters import PromptRules
from .written import WrittenPrompts


@part("new_prompts")
class FromKeptPrompts(WrittenPrompts):
    """The policy continues a list of prompts that earlier rounds learnt from, after their filter; not in round 1
    (Self-RIP, arXiv 2501.18578)."""

    kind: Literal["from_kept"]
    per_round: PositiveInt | None
    shots: PositiveInt
    asked: PositiveInt  # prompts asked for in one answer
    sampling: SamplingConfig
    requests_per_batch: PositiveInt
    max_batches: PositiveInt
    rules: PromptRules
    from_learnt: ClassVar[bool] = True

    def how(self) -> str:
        return f"continues lists of {counted(self.shots, 'prompt')} that were learnt from in earlier rounds"

    def asking(self) -> tuple[Ask, Read]:
        return partial(ask_from_kept, config=self), read_list

    def seeds(self, sources: PromptSources, single: list[Prompt]) -> list[Prompt]:
        """The survivors of earlier rounds.

        Raises:
            RunError: there are too few.
        """
        survivors = [prompt for prompt in sources.survivors if is_single(prompt)]
        if len(survivors) < self.shots:
            raise RunError(
                f"round {sources.round} makes its prompts from {self.shots} that were learnt from in earlier "
                f"rounds (new_prompts.shots), and only {len(survivors)} of one message were",
                "start a run with more prompts in the rounds before it, or with fewer new_prompts.shots",
            )
        return survivors


def ask_from_kept(pool: Pool, seed: int, *, config: FromKeptPrompts) -> Asked:
    """Eight prompts that earlier rounds made a pair (or group) of: Self-RIP, arXiv 2501.18578.

    Which prompts survive is for pairing and filter to say: RIP's thresholds are `filter=rip`. The pool's seeds are the
    survivors, new ones among them.
    """
    return ask_list(drawn(pool.seeds, config.shots, seed), config.asked, config.sampling, seed, "from_kept")
