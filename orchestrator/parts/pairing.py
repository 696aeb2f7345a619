"""What the core asks of a pairing: what is learnt from, of what was sampled and judged."""

from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic.dataclasses import dataclass

from ..data.records import Judgment, PairingOutcome, Prompt, Rollout
from ..data.seeds import derive_seed
from ..fields import STRICT
from .registry import AnyKind, Place

# Pairs one prompt.
Pair: TypeAlias = Callable[[Prompt, Sequence[Rollout], Sequence[Judgment]], PairingOutcome]

# "sides" (a positive and a negative response) and "ranks" are by construction: nobody judges then.
Takes: TypeAlias = Literal[
    "responses", "scores", "comparisons", "critiques", "validations", "attributes", "truth", "sides", "ranks"
]
Gives: TypeAlias = Literal["pairs", "groups", "demonstrations", "critiques"]
# What a pair may have beside its two responses, for an objective that wants it.
Beside: TypeAlias = Literal["source", "win_probabilities", "consistency"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class PairingContext:
    """What a rule depends on beside its own fields: the round whose prompts it pairs, and its phase.

    Example:
        PairingContext(run_seed=0, split="train", round=1, drop_truncated=False, drop_empty=True, max_tokens=2048)
    """

    run_seed: int
    split: Literal["train", "heldout"]
    round: int
    drop_truncated: bool  # a response that was cut is no candidate
    drop_empty: bool  # an empty one is none: False where the objective has a reward of its own for it
    max_tokens: int  # of a response with its prompt

    @property
    def seed(self) -> int:
        """Of all that a rule draws."""
        return derive_seed(self.run_seed, "pair", self.split, self.round)


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class PairingPart:
    """The traits of a pairing, with their defaults: those of a rule that takes a pair out of scored responses."""

    kind: str
    version: ClassVar[int] = 1  # rises when the same input comes to mean something else
    takes: ClassVar[Takes] = "scores"
    both_orders: ClassVar[bool] = False  # takes what a judge said both ways round
    by_voter: ClassVar[bool] = False  # takes the judgments of two voters, not what comes of them
    samplers: ClassVar[tuple[str, ...] | None] = None  # compares the responses of these, and of nobody else
    goes_on: ClassVar[bool] = False  # takes up the pair of the round before
    beside: ClassVar[Beside | None] = None
    tells_better: ClassVar[bool] = True  # says which responses are better than others
    every_sampled: ClassVar[bool] = False  # gives every response to a prompt that was sampled
    every_given: ClassVar[bool] = False  # gives every response that a prompt comes with
    inseparable: ClassVar[bool] = False  # the responses that it gives of a prompt are learnt together, or not at all

    def check(self, at: Place) -> None:
        """Refuse values that can never pair anything.

        Raises:
            ConfigError: naming field, value and remedy.
        """

    def check_available(self, at: Place) -> None:
        """Refuse what it names and is not there, such as a function.

        Raises:
            ConfigError: naming it.
        """

    def gives(self) -> Gives:
        return "pairs"

    def units(self) -> str:
        """What it gives, as a step of the learner counts it."""
        words = {
            "pairs": "pairs",
            "groups": "groups of responses",
            "demonstrations": "responses",
            "critiques": "responses",
        }
        return words[self.gives()]

    def least_responses(self) -> int:
        """Scored responses that it needs of a prompt."""
        return 2

    def keeps_ties(self) -> bool:
        """Whether responses that all have the same score are learnt from."""
        return False

    @property
    def scores_pairs(self) -> bool:
        return self.takes == "scores" and self.gives() == "pairs"

    @property
    def scores_groups(self) -> bool:
        return self.takes == "scores" and self.gives() == "groups"

    @property
    def imitates_as_given(self) -> bool:
        """Whether responses are imitated, whatever is said of them."""
        return self.takes == "responses" and self.gives() == "demonstrations"

    def sentence(self) -> str:
        """What is learnt from, of what was sampled and judged."""
        raise NotImplementedError

    def build(self, context: PairingContext) -> Pair:
        """The rule, for one round of one split."""
        raise NotImplementedError


AnyPairing: TypeAlias = Annotated[PairingPart, AnyKind("pairing")]
