"""A given response and one of the policy's own to the same prompt, labelled by construction (SPIN)."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal

from ...orchestrator.data.records import GenerationRequest, Prompt, Rollout, Shard, Variant
from ...orchestrator.data.seeds import derive_seed
from ...orchestrator.parts.counts import Count
from ...orchestrator.parts.generation import SampledGeneration
from ...orchestrator.parts.registry import part
from ...orchestrator.parts.sampling import SamplingConfig
from ...orchestrator.protocols import Generate, Sample
from .requests import by_policy, request_for, rollout_of

VARIANTS: tuple[Variant, ...] = ("positive", "negative")


@part("generation")
class GivenAndSampledGeneration(SampledGeneration):
    """The best given response of a prompt of `prompts.seed`, and one of the policy's own (SPIN, arXiv 2401.01335). For
    pairing=contrast."""

    kind: Literal["given_and_sampled"]
    sampling: SamplingConfig
    truncated: Literal["keep", "drop"]
    version: ClassVar[int] = 2  # a given response ends as the chat template ends a turn
    takes_given: ClassVar[bool] = True
    contrasts: ClassVar[bool] = True
    paired_by: ClassVar[str | None] = "contrast"
    keeps_logps: ClassVar[bool] = False

    def responses(self) -> Count:
        return Count(number=2)

    def what(self) -> str:
        return "A response to each prompt of prompts.seed, beside the best one that it comes with"

    def build(self, seed: int) -> Sample:
        return by_policy(partial(sample_beside_given, sampling=self.sampling), seed)


async def sample_beside_given(
    shard: Shard,
    policy_version: int,
    generate: Generate,
    *,
    sampling: SamplingConfig,
    seed_parts: tuple[int | str, ...],
) -> list[Rollout]:
    """The best given response (sample 0, positive) and a sampled one (sample 1, negative): SPIN, arXiv 2401.01335.

    A prompt without a given response gets neither.
    """
    prompts = [prompt for prompt in shard.prompts if prompt.responses]
    slots = [(prompt, sample) for prompt in prompts for sample in range(2)]
    requests = [
        request for prompt in prompts for request in _requests(prompt, sampling, derive_seed(*seed_parts, prompt.id, 1))
    ]
    generations = await generate(requests)
    return [
        rollout_of(prompt, sample, VARIANTS[sample], request, generation, generation.prompt_token_ids, policy_version)
        for (prompt, sample), request, generation in zip(slots, requests, generations, strict=True)
    ]


def _requests(prompt: Prompt, sampling: SamplingConfig, seed: int) -> Sequence[GenerationRequest]:
    given = GenerationRequest(
        messages=prompt.messages, seed=0, temperature=0.0, top_p=1.0, max_tokens=1, response=prompt.responses[0]
    )
    return given, request_for(prompt.messages, sampling, seed)
