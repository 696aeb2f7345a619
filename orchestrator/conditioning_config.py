"""The schema of the `conditioning` group: what is said of a response in the prompt that it is learnt under."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field
from pydantic.dataclasses import dataclass

from .conditions import Condition
from .config_types import STRICT, PositiveFloat, Text


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class NoConditioning:
    """Responses are learnt under their own prompts."""

    kind: Literal["none"]


Order: TypeAlias = Literal["p", "n", "pn", "np"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class HindsightConditioning:
    """Chain of Hindsight (arXiv 2302.02676): the two responses of a pair in one turn, each after a marker.

    Policies trained so are asked with the helpful marker.
    """

    kind: Literal["hindsight"]
    helpful: Text  # opens a chosen response (p)
    unhelpful: Text  # opens a rejected one (n)
    orders: Annotated[tuple[Order, ...], Field(min_length=1)]  # one a pair, drawn by seed


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ClassesConditioning:
    """Conditioned behaviour cloning (OpenChat's C-RLFT, arXiv 2309.11235): responses under words that name their class.

    The chosen response of a pair, or the best of a group, is the expert's. Policies trained so are asked as an expert.
    """

    kind: Literal["classes"]
    expert: Condition
    other: Condition
    expert_weight: PositiveFloat  # of every token of an expert's response
    other_weight: PositiveFloat


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class AttributesConditioning:
    """SteerLM (arXiv 2310.05344): responses after a line of their values, such as "helpfulness:4,verbosity:2".

    The line opens the assistant's turn. Policies trained so are asked with the line of the values that are wanted.
    """

    kind: Literal["attributes"]


ConditioningConfig: TypeAlias = Annotated[
    NoConditioning | HindsightConditioning | ClassesConditioning | AttributesConditioning, Field(discriminator="kind")
]
