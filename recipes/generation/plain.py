"""Responses to the prompt as it is."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ...orchestrator.data.records import Message, Rollout, Shard
from ...orchestrator.data.seeds import sample_seeds
from ...orchestrator.fields import PositiveInt
from ...orchestrator.parts.conditions import Condition, asked_under
from ...orchestrator.parts.counts import Count
from ...orchestrator.parts.generation import SampledGeneration, Way
from ...orchestrator.parts.registry import part
from ...orchestrator.parts.sampling import POLICY, SamplingConfig
from ...orchestrator.parts.wording import counted
from ...orchestrator.protocols import Generate, Sample
from .conversations import under
from .requests import request_for, rollout_of, seed_parts_of
from .samplers import from_samplers, samples_of


@part("generation")
class PlainGeneration(SampledGeneration):
    """`samples_per_prompt` responses to the prompt as it is, from each of `samplers`. For any judge, and any pairing of
    scored responses.

    A sampler is the `policy` that the round begins with; the `initial` one; the `latest`, which is that too unless the
    round goes back (`learner.start`); the `previous` one, which is before the latest (in the first round the initial
    one); that of an earlier round (`round-3`); or the directory of another model of the same architecture, shape and
    tokenizer. Samples are numbered sampler by sampler.

    With `again` the prompts are those of the round before, and its pairs take part in pairing, with their scores. Under
    a `condition` the responses are still those to the prompt as it is, and are trained as such.
    """

    kind: Literal["plain"]
    samples_per_prompt: PositiveInt
    sampling: SamplingConfig
    truncated: Literal["keep", "drop"]  # whether responses cut at max_tokens may enter pairs
    samplers: Annotated[tuple[str, ...], Field(min_length=1)] = (POLICY,)
    again: bool = False
    condition: Condition | None = None
    comparable: ClassVar[bool] = True
    asks_plainly: ClassVar[bool] = True

    def sampled_by(self) -> tuple[str, ...]:
        return self.samplers

    def samples_each(self) -> int:
        return self.samples_per_prompt

    def asked_under(self) -> Condition | None:
        return self.condition

    def is_again(self) -> bool:
        return self.again

    def responses(self) -> Count:
        return Count(number=self.samples_per_prompt * len(self.samplers))

    def ways(self, messages: tuple[Message, ...]) -> list[Way]:
        return [under(messages, self.condition)]

    def what(self) -> str:
        before = " of the round before" if self.again else ""
        asked = f"{counted(self.samples_per_prompt, 'response')} to each prompt{before}{from_samplers(self.samplers)}"
        return f"{asked}{asked_under(self.condition)}"

    def build(self, seed: int) -> Sample:
        async def sample(
            shard: Shard, policy_version: int, generate: Generate, sampler: str, others: Sequence[Rollout]
        ) -> list[Rollout]:
            return await sample_plain(
                shard,
                policy_version,
                generate,
                sampling=self.sampling,
                samples=samples_of(sampler, self.samplers, self.samples_per_prompt),
                seed_parts=seed_parts_of(seed, shard),
                sampler=sampler,
                condition=self.condition,
            )

        return sample


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
