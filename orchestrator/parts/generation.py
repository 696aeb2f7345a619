"""What the core asks of a way of generation: how responses to prompts come about, and what they are."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic.dataclasses import dataclass

from ..data.records import JudgingForm, Message
from ..fields import STRICT
from ..protocols import Sample
from .conditions import Condition
from .counts import Count
from .registry import AnyKind, Place
from .sampling import POLICY, SamplingConfig

# A conversation, with the opening of the assistant's turn.
Way: TypeAlias = tuple[tuple[Message, ...], str]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class GenerationPart:
    """The traits of a way of generation, with their defaults."""

    kind: str
    version: ClassVar[int] = 1  # rises when the same input comes to mean something else
    samples: ClassVar[bool] = True  # False: all responses are those that the prompts come with
    takes_given: ClassVar[bool] = False  # wants prompts that come with responses: those of prompts.seed
    contrasts: ClassVar[bool] = False  # makes a positive and a negative response to a prompt
    ranks: ClassVar[bool] = False  # the responses to a prompt come best first
    paired_by: ClassVar[str | None] = None  # the pairing of responses that say themselves what they are worth
    comparable: ClassVar[bool] = False  # whether a judge may say which of two responses to a prompt is better
    asks_plainly: ClassVar[bool] = False  # samples after the prompt that is trained on, but for a condition
    keeps_logps: ClassVar[bool] = True  # responses have the log-probs that they were sampled with
    gathers: ClassVar[bool] = False  # the policy takes the other samplers' responses up, and returns them with its own

    def check(self, at: Place) -> None:
        """Refuse values that no response can come of.

        Raises:
            ConfigError: naming field, value and remedy.
        """

    def sampled_with(self) -> SamplingConfig:
        """How it samples, where it does."""
        raise AssertionError(f"generation.kind={self.kind} samples nothing")

    def sampled_by(self) -> tuple[str, ...]:
        """Who samples."""
        return (POLICY,)

    def samples_each(self) -> int | None:
        """Responses to a prompt from each sampler, where their number is free."""
        return None

    def asked_under(self) -> Condition | None:
        """What the prompts are asked under, and not trained under."""
        return None

    def sampled_by_policy(self) -> bool:
        """Whether every response is the policy's, from the plain prompt: then its log-probs are the policy's own."""
        return self.asks_plainly and self.asked_under() is None and self.sampled_by() == (POLICY,)

    def rewrites_prompts(self) -> bool:
        """Whether responses are trained under a prompt that generation makes."""
        return False

    def drops_truncated(self) -> bool:
        """Whether responses that are cut at the token limit stay out of pairs."""
        return False

    def is_again(self) -> bool:
        """Whether a round takes up the one before it."""
        return False

    def decoded(self) -> Mapping[JudgingForm, tuple[str, tuple[str, ...]]]:
        """The forms of judging prompts whose verdict is decoded among single tokens, where it answers such prompts
        alone: its opening, and the tokens."""
        return {}

    def responses(self) -> Count:
        """The responses to a prompt: what is judged."""
        raise NotImplementedError

    def texts(self) -> Count:
        """The texts that are made of a prompt, or come with it, those on the way to a response too."""
        return self.responses()

    def ways(self, messages: tuple[Message, ...]) -> list[Way]:
        """What is asked beside the plain prompt before any response is known: it has to fit the model."""
        return []

    def later_ways(self, messages: tuple[Message, ...]) -> list[Way]:
        """What is asked about a response, with another text in its place: how long it gets is not known before."""
        return []

    def sentence(self) -> str:
        """What is sampled, and how."""
        raise NotImplementedError

    def build(self, seed: int) -> Sample:
        """What samples a shard; `seed` is the run's."""
        raise NotImplementedError


class SampledGeneration(GenerationPart):
    """A way of generation with its own `sampling`, which says whether truncated responses may enter pairs. (Each kind
    names these fields itself, where a configuration file has them.)"""

    __slots__ = ()
    sampling: SamplingConfig
    truncated: Literal["keep", "drop"]

    def sampled_with(self) -> SamplingConfig:
        return self.sampling

    def drops_truncated(self) -> bool:
        return self.truncated == "drop"

    def what(self) -> str:
        """What is sampled, as the beginning of a sentence."""
        raise NotImplementedError

    def sentence(self) -> str:
        cut = " Responses that are cut there stay out." if self.drops_truncated() else ""
        return f"{self.what()}; {self.sampling.words()}.{cut}"


AnyGeneration: TypeAlias = Annotated[GenerationPart, AnyKind("generation")]
