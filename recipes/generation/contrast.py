"""Responses to contrast prompts, labelled by construction (RLCD)."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from ...orchestrator.data.records import Message, Prompt, Rollout, Shard, Variant
from ...orchestrator.data.seeds import derive_seed
from ...orchestrator.fields import STRICT, Text
from ...orchestrator.parts.counts import Count
from ...orchestrator.parts.generation import SampledGeneration, Way
from ...orchestrator.parts.registry import part
from ...orchestrator.parts.sampling import SamplingConfig
from ...orchestrator.parts.wording import counted
from ...orchestrator.protocols import Generate, Sample
from .conversations import described
from .requests import by_policy, request_for, rollout_of

VARIANTS: tuple[Variant, ...] = ("positive", "negative")


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class AffixPair:
    """Two opposite descriptions of the assistant's answer."""

    positive: Text
    negative: Text


@part("generation")
class ContrastGeneration(SampledGeneration):
    """One response under a positive and one under a negative description of the answer, both trained under the prompt
    (RLCD, arXiv 2307.12950). For pairing=contrast, or pairing=soft with judge=ab."""

    kind: Literal["contrast"]
    placement: Literal["system", "in_turn"]
    affixes: Annotated[tuple[AffixPair, ...], Field(min_length=1)]
    sampling: SamplingConfig
    truncated: Literal["keep", "drop"]
    contrasts: ClassVar[bool] = True
    paired_by: ClassVar[str | None] = "contrast"
    comparable: ClassVar[bool] = True

    def responses(self) -> Count:
        return Count(number=2)

    def ways(self, messages: tuple[Message, ...]) -> list[Way]:
        return [
            contrast_prompt(messages, pair, variant, self.placement) for pair in self.affixes for variant in VARIANTS
        ]

    def what(self) -> str:
        where = "opens the assistant's turn" if self.placement == "in_turn" else "stands in the system message"
        return (
            "Two responses to each prompt: one under a positive and one under a negative description of the answer "
            f"({counted(len(self.affixes), 'pair')}, one drawn by seed), which {where}"
        )

    def build(self, seed: int) -> Sample:
        return by_policy(partial(sample_contrast, config=self), seed)


async def sample_contrast(
    shard: Shard,
    policy_version: int,
    generate: Generate,
    *,
    config: ContrastGeneration,
    seed_parts: tuple[int | str, ...],
) -> list[Rollout]:
    """One response under p+ (sample 0) and one under p− (sample 1) of every prompt: RLCD, arXiv 2307.12950, section 3.

    The affix pair is drawn uniformly per prompt, by seed. Both responses are recorded with the original prompt's token
    ids, which they are trained under.
    """
    slots: list[tuple[Prompt, int, Variant]] = []
    requests = []
    for prompt in shard.prompts:
        affixes = config.affixes[derive_seed(*seed_parts, prompt.id, "affix") % len(config.affixes)]
        for sample, variant in enumerate(VARIANTS):
            messages, assistant_prefix = contrast_prompt(prompt.messages, affixes, variant, config.placement)
            seed = derive_seed(*seed_parts, prompt.id, sample)
            slots.append((prompt, sample, variant))
            requests.append(request_for(messages, config.sampling, seed, assistant_prefix, prompt.messages))
    generations = await generate(requests)
    return [
        rollout_of(prompt, sample, variant, request, generation, generation.plain_token_ids, policy_version)
        for (prompt, sample, variant), request, generation in zip(slots, requests, generations, strict=True)
    ]


def contrast_prompt(
    messages: Sequence[Message], affixes: AffixPair, variant: Variant, placement: str
) -> tuple[tuple[Message, ...], str]:
    """The conversation and the opening of the assistant's turn for p+ or p−.

    `placement` "in_turn" opens the assistant's last turn with the affix, as the paper does; "system" is `described`'s.
    Either way earlier assistant turns carry the affix of the OPPOSITE polarity, so that the last turn stands out.

    Example:
        >>> user = Message(role="user", content="Hi")
        >>> contrast_prompt([user], AffixPair(positive="being kind", negative="being rude"), "negative", "in_turn")
        ((Message(role='user', content='Hi'),), '(being rude) ')
    """
    assert variant in ("positive", "negative")
    affix, opposite = affixes.positive, affixes.negative
    if variant == "negative":
        affix, opposite = opposite, affix
    turns = [
        Message(role="assistant", content=f"({opposite}) {turn.content}") if turn.role == "assistant" else turn
        for turn in messages
    ]
    return described(turns, affix, placement)
