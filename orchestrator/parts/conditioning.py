"""What the core asks of a conditioning: what is said of a response in the prompt that it is learnt under."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic.dataclasses import dataclass

from ..data.records import PairingOutcome
from ..fields import STRICT
from ..protocols import Generate
from .registry import AnyKind, Place

# Gives a shard's outcomes with what is learnt of them, in `sequences`.
Tell: TypeAlias = Callable[[Sequence[PairingOutcome], Generate], Coroutine[Any, Any, list[PairingOutcome]]]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ConditioningContext:
    """What a conditioning depends on beside its own fields: the round, and the phase that it is of.

    Example:
        ConditioningContext(run_seed=0, split="train", round=1, max_tokens=2048, attributes=("helpfulness",))
    """

    run_seed: int
    split: Literal["train", "heldout"]
    round: int
    max_tokens: int  # of a response with its prompt
    attributes: tuple[str, ...]  # that responses were judged by; empty where they were not


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ConditioningPart:
    """The traits of a conditioning, with their defaults."""

    kind: str
    version: ClassVar[int] = 1  # rises when the same input comes to mean something else
    says_nothing: ClassVar[bool] = False  # responses are learnt under their own prompts
    takes_pairs: ClassVar[bool] = False  # says something of the two responses of a pair
    tells_better: ClassVar[bool] = False  # says of a response whether it is a better one
    tells_attributes: ClassVar[bool] = False  # says the values of a response's attributes

    def check(self, at: Place) -> None:
        """Refuse values that can never say anything.

        Raises:
            ConfigError: naming field, value and remedy.
        """

    def sentence(self) -> str:
        """What a response is learnt under, beside the prompt that it answers."""
        raise NotImplementedError

    def build(self, context: ConditioningContext) -> Tell | None:
        """The rule, for one round of one split. None where nothing is said."""
        raise NotImplementedError


AnyConditioning: TypeAlias = Annotated[ConditioningPart, AnyKind("conditioning")]
