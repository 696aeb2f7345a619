"""New prompts by example: a list of prompts, most of them from the data, is continued."""

from ...orchestrator.new_prompts_config import SelfInstructPrompts
from ...orchestrator.seeds import derive_seed
from .asking import Asked, Pool, ask_list, drawn


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
