"""The schema of the `generation` group: how responses are sampled."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field
from pydantic.dataclasses import dataclass

from .conditions import Condition
from .config_types import STRICT, PositiveInt, Text
from .sampling_config import POLICY, SamplingConfig


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class PlainGeneration:
    """`samples_per_prompt` responses to the prompt as it is, from each of `samplers`.

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


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class AffixPair:
    """Two opposite descriptions of the assistant's answer."""

    positive: Text
    negative: Text


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ContrastGeneration:
    """RLCD (arXiv 2307.12950): one response under a positive and one under a negative affix of the same prompt."""

    kind: Literal["contrast"]
    placement: Literal["system", "in_turn"]
    affixes: Annotated[tuple[AffixPair, ...], Field(min_length=1)]
    sampling: SamplingConfig
    truncated: Literal["keep", "drop"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class LadderGeneration:
    """One response a described level of quality, best first (inspired by AutoPM, EMNLP 2023, main.570)."""

    kind: Literal["ladder"]
    placement: Literal["system", "in_turn"]
    levels: Annotated[tuple[Text, ...], Field(min_length=2)]  # descriptions of the answer, best first
    sampling: SamplingConfig
    truncated: Literal["keep", "drop"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class SystemMessagesGeneration:
    """Janus (arXiv 2405.17977): one response under a system message and one under another, both trained under the
    first."""

    kind: Literal["system_messages"]
    system_messages: Annotated[tuple[Text, ...], Field(min_length=2)]
    sampling: SamplingConfig
    truncated: Literal["keep", "drop"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class MixtureWindow:
    """Self-MoA-Seq's sliding window: how many references are shown at a time, and how many of these places the best
    response so far takes."""

    size: PositiveInt
    carried: PositiveInt


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class MixtureGeneration:
    """Proposals to a prompt, and one response that the policy makes of them (Self-MoA, arXiv 2502.00674).

    The proposals are the policy's own, or those of several `samplers`, as plain generation has them. Every layer but
    the last makes `proposals` new ones of those of the layer before (MoA, arXiv 2406.04692).
    """

    kind: Literal["mixture"]
    proposals: PositiveInt  # a prompt, from each sampler
    layers: PositiveInt  # of aggregation
    window: MixtureWindow | None  # null: all proposals are shown at once
    trained_under: Literal["prompt", "aggregation"]  # the plain prompt, or the one that shows the proposals (AFT)
    instruction: Text  # what stands before the proposals in the system message
    sampling: SamplingConfig  # of proposals and responses
    truncated: Literal["keep", "drop"]
    samplers: Annotated[tuple[str, ...], Field(min_length=1)] = (POLICY,)  # who propose


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ReviseGeneration:
    """An answer, the policy's own review of it in words, and a revised answer, until a review asks for no more
    (SelFee)."""

    kind: Literal["revise"]
    revisions: PositiveInt  # at most
    constrain_verdict: bool  # decode the last line of a review among its two forms only
    sampling: SamplingConfig  # of answers and reviews
    truncated: Literal["keep", "drop"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class AlteredInstructionGeneration:
    """An answer to the prompt, and one to another instruction that the policy makes of it, which is the worse answer
    to the prompt (Self-Taught Evaluator, arXiv 2408.02666)."""

    kind: Literal["altered_instruction"]
    sampling: SamplingConfig  # of answers and instructions
    truncated: Literal["keep", "drop"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class JudgmentsGeneration:
    """Judgments of judging prompts, with a verdict (or score) that is decoded among its forms: for models that seldom
    keep to them. Other prompts get plain responses. The sampler's log-probs are not kept: the verdict is not its own
    next word."""

    kind: Literal["judgments"]
    samples_per_prompt: PositiveInt
    sampling: SamplingConfig
    truncated: Literal["keep", "drop"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class GivenGeneration:
    """Nothing is sampled: the responses are those that the prompts of `prompts.seed` come with, best first."""

    kind: Literal["given"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class GivenAndSampledGeneration:
    """SPIN (arXiv 2401.01335): the best given response of a prompt of `prompts.seed`, and one of the policy's own."""

    kind: Literal["given_and_sampled"]
    sampling: SamplingConfig
    truncated: Literal["keep", "drop"]


SampledGeneration: TypeAlias = (
    PlainGeneration | ContrastGeneration | LadderGeneration | SystemMessagesGeneration | MixtureGeneration
    | ReviseGeneration | GivenAndSampledGeneration | AlteredInstructionGeneration | JudgmentsGeneration
)  # fmt: skip
GenerationConfig: TypeAlias = Annotated[SampledGeneration | GivenGeneration, Field(discriminator="kind")]


def sampling_of(generation: GenerationConfig) -> SamplingConfig:
    """How a phase samples that is known to."""
    assert not isinstance(generation, GivenGeneration), "given responses are not sampled"
    return generation.sampling


def samplers_of(generation: GenerationConfig) -> tuple[str, ...]:
    """Who samples. The policy is among those of a mixture in any case: it makes the response."""
    match generation:
        case PlainGeneration(samplers=samplers):
            return samplers
        case MixtureGeneration(samplers=samplers):
            return samplers if POLICY in samplers else (*samplers, POLICY)
    return (POLICY,)


def is_sampled_by_policy(generation: GenerationConfig) -> bool:
    """Whether every response is the policy's, from the plain prompt: then its log-probs are the policy's own."""
    plain = isinstance(generation, PlainGeneration) and generation.condition is None
    return plain and samplers_of(generation) == (POLICY,)


def is_again(generation: GenerationConfig) -> bool:
    """Whether a round takes up the one before it."""
    return isinstance(generation, PlainGeneration) and generation.again


def samples_of(generation: PlainGeneration | MixtureGeneration, sampler: str) -> range:
    """The numbers of a sampler's samples; of its proposals, in a mixture. None if it is not among the samplers."""
    each = generation.proposals if isinstance(generation, MixtureGeneration) else generation.samples_per_prompt
    if sampler not in generation.samplers:
        return range(0)
    first = generation.samplers.index(sampler) * each
    return range(first, first + each)
