"""Responses under different system messages, the one that was followed and one that was not."""

from ...orchestrator.generation_config import SystemMessagesGeneration
from ...orchestrator.protocols import Generate
from ...orchestrator.records import Prompt, Rollout, Shard, Variant
from ...orchestrator.seeds import derive_seed
from .conversations import with_system
from .requests import request_for, rollout_of

VARIANTS: tuple[Variant, ...] = ("positive", "negative")


async def sample_system_messages(
    shard: Shard,
    policy_version: int,
    generate: Generate,
    *,
    config: SystemMessagesGeneration,
    seed_parts: tuple[int | str, ...],
) -> list[Rollout]:
    """One response under a system message s (sample 0) and one under another, s' (sample 1): Janus, arXiv 2405.17977.

    Both are recorded with the token ids of the prompt WITH s, which they are trained under: the first followed it, the
    second did not. Both messages are drawn by seed, all ordered pairs of different ones equally.
    """
    slots: list[tuple[Prompt, int]] = []
    requests = []
    for prompt in shard.prompts:
        drawn = two_different(len(config.system_messages), derive_seed(*seed_parts, prompt.id, "system"))
        conversations = [with_system(prompt.messages, config.system_messages[index]) for index in drawn]
        for sample, messages in enumerate(conversations):
            seed = derive_seed(*seed_parts, prompt.id, sample)
            slots.append((prompt, sample))
            requests.append(request_for(messages, config.sampling, seed, plain_messages=conversations[0]))
    generations = await generate(requests)
    return [
        rollout_of(prompt, sample, VARIANTS[sample], request, generation, generation.plain_token_ids, policy_version)
        for (prompt, sample), request, generation in zip(slots, requests, generations, strict=True)
    ]


def two_different(count: int, seed: int) -> tuple[int, int]:
    """The `seed`-th of all ordered pairs of two different indices under `count`, in turn.

    Example:
        >>> [two_different(3, seed) for seed in range(7)]
        [(0, 1), (0, 2), (1, 2), (1, 0), (2, 0), (2, 1), (0, 1)]
    """
    first, step = divmod(seed % (count * (count - 1)), count - 1)
    return first, (first + 1 + step) % count
