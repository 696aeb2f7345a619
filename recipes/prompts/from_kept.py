"""New prompts by the example of good ones: a list of prompts that survived earlier rounds is continued."""

from ...orchestrator.new_prompts_config import FromKeptPrompts
from .asking import Asked, Pool, ask_list, drawn


def ask_from_kept(pool: Pool, seed: int, *, config: FromKeptPrompts) -> Asked:
    """Eight prompts that earlier rounds made a pair (or group) of: Self-RIP, arXiv 2501.18578.

    Which prompts survive is for pairing and filter to say: RIP's thresholds are `filter=rip`. The pool's seeds are the
    survivors, new ones among them.
    """
    return ask_list(drawn(pool.seeds, config.shots, seed), config.asked, config.sampling, seed, "from_kept")
