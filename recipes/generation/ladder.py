"""Responses of described quality, from the best to the worst."""

from ...orchestrator.generation_config import LadderGeneration
from ...orchestrator.protocols import Generate
from ...orchestrator.records import Rollout, Shard
from ...orchestrator.seeds import derive_seed
from .conversations import described
from .requests import request_for, rollout_of


async def sample_ladder(
    shard: Shard,
    policy_version: int,
    generate: Generate,
    *,
    config: LadderGeneration,
    seed_parts: tuple[int | str, ...],
) -> list[Rollout]:
    """One response a level to every prompt: its rank (`sample`) is the level that its prompt described, 0 the best.

    Inspired by AutoPM's in-depth pairs (EMNLP 2023, main.570), whose prompts are unpublished: responses over a wide
    range of quality, ranked by construction. All are recorded with the original prompt's token ids. Earlier assistant
    turns stay as they are.
    """
    slots = [(prompt, level) for prompt in shard.prompts for level in range(len(config.levels))]
    requests = []
    for prompt, level in slots:
        messages, assistant_prefix = described(prompt.messages, config.levels[level], config.placement)
        seed = derive_seed(*seed_parts, prompt.id, level)
        requests.append(request_for(messages, config.sampling, seed, assistant_prefix, prompt.messages))
    generations = await generate(requests)
    return [
        rollout_of(prompt, level, "ranked", request, generation, generation.plain_token_ids, policy_version)
        for (prompt, level), request, generation in zip(slots, requests, generations, strict=True)
    ]
