"""Responses that the prompts come with: demonstrations, ranked answers, labelled pairs. Nothing is sampled."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from ...orchestrator.data.records import GenerationRequest, Rollout, Shard
from ...orchestrator.parts.counts import AT_LEAST, Count
from ...orchestrator.parts.generation import GenerationPart
from ...orchestrator.parts.registry import part
from ...orchestrator.protocols import Generate, Sample
from .requests import rollout_of


@part("generation")
class GivenGeneration(GenerationPart):
    """Nothing is sampled: the responses that the prompts of `prompts.seed` come with, best first. For
    pairing=demonstrations, pairing=ranked, or a judge."""

    kind: Literal["given"]
    version: ClassVar[int] = 2  # a given response ends as the chat template ends a turn
    samples: ClassVar[bool] = False
    takes_given: ClassVar[bool] = True
    ranks: ClassVar[bool] = True
    keeps_logps: ClassVar[bool] = False

    def responses(self) -> Count:
        return Count(number=1, bound=AT_LEAST)

    def sentence(self) -> str:
        return "Nothing: the responses that the prompts come with, best first."

    def build(self, seed: int) -> Sample:
        async def sample(
            shard: Shard, policy_version: int, generate: Generate, sampler: str, others: Sequence[Rollout]
        ) -> list[Rollout]:
            return await sample_given(shard, policy_version, generate)

        return sample


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
