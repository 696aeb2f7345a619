"""Responses to the prompt as it is."""

from ...orchestrator.conditions import Condition
from ...orchestrator.protocols import Generate
from ...orchestrator.records import Rollout, Shard
from ...orchestrator.sampling_config import POLICY, SamplingConfig
from ...orchestrator.seeds import sample_seeds
from .conversations import under
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
    condition: Condition | None = None,
) -> list[Rollout]:
    """A response of each of these sample numbers to every prompt, prompt by prompt.

    What is asked under a condition is recorded with the token ids of the prompt without it.
    """
    slots = [(prompt, sample) for prompt in shard.prompts for sample in samples]
    requests = []
    seeds = [seed for prompt in shard.prompts for seed in sample_seeds(*seed_parts, prompt.id, samples=samples)]
    for (prompt, _), seed in zip(slots, seeds, strict=True):
        messages, prefix = under(prompt.messages, condition)
        requests.append(request_for(messages, sampling, seed, prefix, prompt.messages if condition else ()))
    return [
        rollout_of(
            prompt,
            sample,
            "plain",
            request,
            generation,
            generation.plain_token_ids if condition else generation.prompt_token_ids,
            policy_version,
            sampler,
        )
        for (prompt, sample), request, generation in zip(slots, requests, await generate(requests), strict=True)
    ]
