"""Responses of described quality, from the best to the worst."""

from functools import partial
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ...orchestrator.data.records import Message, Rollout, Shard
from ...orchestrator.data.seeds import derive_seed
from ...orchestrator.fields import Text
from ...orchestrator.parts.counts import Count
from ...orchestrator.parts.generation import SampledGeneration, Way
from ...orchestrator.parts.registry import Place, part
from ...orchestrator.parts.sampling import SamplingConfig
from ...orchestrator.parts.wording import counted
from ...orchestrator.protocols import Generate, Sample
from .conversations import check_different, described
from .requests import by_policy, request_for, rollout_of


@part("generation")
class LadderGeneration(SampledGeneration):
    """One response a described level of quality, best first, trained under the prompt (inspired by AutoPM, EMNLP 2023
    main.570). For pairing=ranked."""

    kind: Literal["ladder"]
    placement: Literal["system", "in_turn"]
    levels: Annotated[tuple[Text, ...], Field(min_length=2)]  # descriptions of the answer, best first
    sampling: SamplingConfig
    truncated: Literal["keep", "drop"]
    ranks: ClassVar[bool] = True
    paired_by: ClassVar[str | None] = "ranked"

    def check(self, at: Place) -> None:
        check_different(str(at / "levels"), self.levels)

    def responses(self) -> Count:
        return Count(number=len(self.levels))

    def ways(self, messages: tuple[Message, ...]) -> list[Way]:
        return [described(messages, level, self.placement) for level in self.levels]

    def what(self) -> str:
        return f"{counted(len(self.levels), 'response')} to each prompt, each under a description of another quality"

    def build(self, seed: int) -> Sample:
        return by_policy(partial(sample_ladder, config=self), seed)


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
