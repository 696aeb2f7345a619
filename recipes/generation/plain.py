"""Responses to the prompt as it is."""

from ...orchestrator.generation_config import POLICY, SamplingConfig
from ...orchestrator.protocols import Generate
from ...orchestrator.records import Rollout, Shard
from ...orchestrator.seeds import derive_seed
from .requests import request_for, rollout_of


async def sample_plain(
    shard: Shard,
    policy_version: int,
    generate: Generate,
    *,
    sampling: SamplingConfig,
    samples: range,
    seed_parts: tuple[int | str, ...],
    sampler: str = POLICY,
) -> list[Rollout]:
    """A response of each of these sample numbers to every prompt, prompt by prompt."""
    slots = [(prompt, sample) for prompt in shard.prompts for sample in samples]
    requests = [
        request_for(prompt.messages, sampling, derive_seed(*seed_parts, prompt.id, sample)) for prompt, sample in slots
    ]
    generations = await generate(requests)
    return [
        rollout_of(prompt, sample, "plain", request, generation, generation.prompt_token_ids, policy_version, sampler)
        for (prompt, sample), request, generation in zip(slots, requests, generations, strict=True)
    ]
