"""The schema of the `generation` group: how responses are sampled."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field
from pydantic.dataclasses import dataclass

from .config_types import STRICT, NonNegativeFloat, PositiveInt, TopP


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class SamplingConfig:
    """How responses are sampled."""

    temperature: NonNegativeFloat
    top_p: TopP
    max_tokens: PositiveInt
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class PlainGeneration:
    """`samples_per_prompt` responses to the prompt as it is."""

    kind: Literal["plain"]
    samples_per_prompt: PositiveInt
    sampling: SamplingConfig
    truncated: Literal["keep", "drop"]  # whether responses cut at max_tokens may enter pairs


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class AffixPair:
    """Two opposite descriptions of the assistant's answer."""

    positive: Annotated[str, Field(min_length=1)]
    negative: Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ContrastGeneration:
    """RLCD (arXiv 2307.12950): one response under a positive and one under a negative affix of the same prompt."""

    kind: Literal["contrast"]
    placement: Literal["system", "in_turn"]
    affixes: Annotated[tuple[AffixPair, ...], Field(min_length=1)]
    sampling: SamplingConfig
    truncated: Literal["keep", "drop"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class GivenGeneration:
    """Nothing is sampled: the responses are those that the prompts of `prompts.seed` come with, best first."""

    kind: Literal["given"]


SampledGeneration: TypeAlias = PlainGeneration | ContrastGeneration
GenerationConfig: TypeAlias = Annotated[SampledGeneration | GivenGeneration, Field(discriminator="kind")]


def sampling_of(generation: GenerationConfig) -> SamplingConfig:
    """How a phase samples that is known to."""
    assert not isinstance(generation, GivenGeneration), "given responses are not sampled"
    return generation.sampling
