"""Responses under different system messages, the one that was followed and one that was not."""

from functools import partial
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ...orchestrator.data.records import Message, Prompt, Rollout, Shard, Variant
from ...orchestrator.data.seeds import derive_seed
from ...orchestrator.fields import Text
from ...orchestrator.parts.counts import Count
from ...orchestrator.parts.generation import SampledGeneration, Way
from ...orchestrator.parts.registry import Place, part
from ...orchestrator.parts.sampling import SamplingConfig
from ...orchestrator.parts.wording import counted
from ...orchestrator.protocols import Generate, Sample
from .conversations import check_different, with_system
from .requests import by_policy, request_for, rollout_of

VARIANTS: tuple[Variant, ...] = ("positive", "negative")


@part("generation")
class SystemMessagesGeneration(SampledGeneration):
    """One response under a system message and one under another, both trained under the first (Janus, arXiv
    2405.17977). For pairing=contrast."""

    kind: Literal["system_messages"]
    system_messages: Annotated[tuple[Text, ...], Field(min_length=2)]
    sampling: SamplingConfig
    truncated: Literal["keep", "drop"]
    contrasts: ClassVar[bool] = True
    paired_by: ClassVar[str | None] = "contrast"

    def check(self, at: Place) -> None:
        check_different(str(at / "system_messages"), self.system_messages)

    def rewrites_prompts(self) -> bool:
        return True

    def responses(self) -> Count:
        return Count(number=2)

    def ways(self, messages: tuple[Message, ...]) -> list[Way]:
        return [(with_system(messages, text), "") for text in self.system_messages]

    def what(self) -> str:
        messages = counted(len(self.system_messages), "system message")
        return (
            f"Two responses to each prompt, each under another of {messages} drawn by seed; both are trained under the "
            "first"
        )

    def build(self, seed: int) -> Sample:
        return by_policy(partial(sample_system_messages, config=self), seed)


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
