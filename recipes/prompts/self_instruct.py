"""New prompts by example: a list of prompts, most of them from the data, is continued."""

from functools import partial
from typing import Literal

from ...orchestrator.data.seeds import derive_seed
from ...orchestrator.fields import NonNegativeInt, PositiveInt
from ...orchestrator.parts.registry import part
from ...orchestrator.parts.sampling import SamplingConfig
from ...orchestrator.parts.wording import counted
from .asking import Ask, Asked, Pool, Read, ask_list, drawn, read_list
from .filters import PromptRules
from .written import WrittenPrompts


@part("new_prompts")
class SelfInstructPrompts(WrittenPrompts):
    """The policy continues a list of prompts, most of them of the training file, some of them new ones
    (Self-Instruct, arXiv 2212.10560; shots and sampling of arXiv 2401.10020)."""

    kind: Literal["self_instruct"]
    per_round: PositiveInt | None
    seed_shots: PositiveInt
    made_shots: NonNegativeInt  # as long as there are fewer new prompts, the training file gives the rest
    asked: PositiveInt  # prompts asked for in one answer
    sampling: SamplingConfig
    requests_per_batch: PositiveInt
    max_batches: PositiveInt
    rules: PromptRules

    def examples(self) -> tuple[str, int]:
        return "new_prompts.seed_shots + made_shots", self.seed_shots + self.made_shots

    def how(self) -> str:
        seeds, new = counted(self.seed_shots, "prompt"), counted(self.made_shots, "new one")
        return f"continues lists of {seeds} of the training file and {new}"

    def asking(self) -> tuple[Ask, Read]:
        return partial(ask_self_instruct, config=self), read_list


def ask_self_instruct(pool: Pool, seed: int, *, config: SelfInstructPrompts) -> Asked:
    """Six prompts of the data and two new ones, in an order drawn by seed: Self-Instruct, arXiv 2212.10560, with the
    shots and sampling of Self-Rewarding LMs, arXiv 2401.10020.

    As long as there are fewer new ones, prompts of the data take their place. The instruction is our own. How many
    prompts one answer gave in Self-Rewarding is not verified.
    """
    made = drawn(pool.made, config.made_shots, derive_seed(seed, "made"))
    seeds = drawn(pool.seeds, config.seed_shots + config.made_shots - len(made), derive_seed(seed, "seeds"))
    shots = drawn([*seeds, *made], len(seeds) + len(made), derive_seed(seed, "order"))
    return ask_list(shots, config.asked, config.sampling, seed, "self_instruct")
