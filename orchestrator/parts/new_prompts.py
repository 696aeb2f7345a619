"""What the core asks of new prompts: what a round's prompts are, where the training file does not give them all."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

from pydantic.dataclasses import dataclass

from ..data.records import JudgingForm
from ..fields import STRICT
from ..protocols import Encoder, PromptMaker, PromptSources
from .registry import AnyKind, Place
from .sampling import SamplingConfig

if TYPE_CHECKING:
    from ..config.schema import Config

# What judging prompts are over: the given responses of prompts.seed, best first; or, of the newest round whose own
# prompts were none of these, the pairs, after its filter, every prompt's response whose votes differ most, or all
# responses that were scored, each answered with its score.
Judged: TypeAlias = Literal["given", "pairs", "disputed", "scored"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class NewPromptsPart:
    """The traits of new prompts, with their defaults."""

    kind: str
    version: ClassVar[int] = 1  # rises when the same input comes to mean something else
    makes: ClassVar[bool] = True  # False: all of a round's prompts are the training file's
    from_learnt: ClassVar[bool] = False  # made of prompts that earlier rounds learnt from

    def check(self, at: Place) -> None:
        """Refuse numbers that can never be met.

        Raises:
            ConfigError: naming the fields, their values and the remedy.
        """

    def check_needs(self, at: Place, encoder: Encoder) -> None:
        """Refuse where what it needs beside the configuration is not there, such as tokens.

        Raises:
            ConfigError: naming field, value and remedy.
        """

    def sampled_with(self) -> SamplingConfig | None:
        """How the policy writes them; None where it writes none."""
        return None

    def judged(self) -> Judged | None:
        """What is judged, where all of them are judging prompts, made in a single batch."""
        return None

    def judging_form(self) -> JudgingForm | None:
        """The form in which judging prompts ask."""
        return None

    def prompt_set(self) -> Literal["train", "seed"] | None:
        """The prompts that a round takes; None where generation says it."""
        return None

    def number(self, prompts: int) -> int:
        """How many of a round's `prompts` are new; the training file gives the rest."""
        return prompts

    def batches(self) -> int:
        """A round that is short of prompts after them stops."""
        return 1

    def examples(self) -> tuple[str, int] | None:
        """What takes prompts of one message of the training file, and how many."""
        return None

    def too_little(self) -> str:
        """What there must be more of, where a round has no judging prompt."""
        raise NotImplementedError

    def planned(self, number: int) -> str:
        """What a round makes of them, in a few words."""
        raise NotImplementedError

    def sentence(self) -> str:
        """Where a round's prompts come from."""
        raise NotImplementedError

    def build(self, config: "Config") -> Callable[[PromptSources], PromptMaker] | None:
        """What makes a round's new prompts. None where the training file gives all. `config` is the phase's."""
        raise NotImplementedError


AnyNewPrompts: TypeAlias = Annotated[NewPromptsPart, AnyKind("new_prompts")]
