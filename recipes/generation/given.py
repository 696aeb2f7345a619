"""Responses that the prompts come with: demonstrations, ranked answers, labelled pairs. Nothing is sampled."""

from ...orchestrator.protocols import Generate
from ...orchestrator.records import GenerationRequest, Rollout, Shard
from .requests import rollout_of


async def sample_given(shard: Shard, policy_version: int, generate: Generate) -> list[Rollout]:
    """The given responses of every prompt, whose sample is their rank (0 the best), encoded by the engine.

    They have no log-probs of a sampler's. A prompt without a response gets no rollout.
    """
    slots = [(prompt, rank, text) for prompt in shard.prompts for rank, text in enumerate(prompt.responses)]
    requests = [
        GenerationRequest(messages=prompt.messages, seed=0, temperature=0.0, top_p=1.0, max_tokens=1, response=text)
        for prompt, _, text in slots
    ]
    return [
        rollout_of(prompt, rank, "ranked", request, generation, generation.prompt_token_ids, policy_version)
        for (prompt, rank, _), request, generation in zip(slots, requests, await generate(requests), strict=True)
    ]
