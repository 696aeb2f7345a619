"""Types of configuration fields: numbers in their range, names that are safe as directory names."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WrapSerializer
from pydantic_core import PydanticCustomError

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)

PositiveInt: TypeAlias = Annotated[int, Field(gt=0)]
NonNegativeInt: TypeAlias = Annotated[int, Field(ge=0)]
PositiveFloat: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
AboveOne: TypeAlias = Annotated[float, Field(gt=1, allow_inf_nan=False)]
NonNegativeFloat: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction: TypeAlias = Annotated[float, Field(ge=0, le=1)]
BelowHalf: TypeAlias = Annotated[float, Field(ge=0, lt=0.5)]
BelowOne: TypeAlias = Annotated[float, Field(ge=0, lt=1)]
TopP: TypeAlias = Annotated[float, Field(gt=0, le=1)]
Text: TypeAlias = Annotated[str, Field(min_length=1)]
Name: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]


LEAST_TEMPERATURE = 0.01  # below it vLLM samples at it


def _as_sampled(temperature: float) -> float:
    if 0 < temperature < LEAST_TEMPERATURE:
        raise PydanticCustomError(
            "temperature", "vLLM would sample at 0.01; 0 is greedy, and the least above it is 0.01"
        )
    return temperature


# vLLM takes no more than 2.
Temperature: TypeAlias = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False), AfterValidator(_as_sampled)]


def _frozen_json(value: Any) -> Any:
    if isinstance(value, str):  # as run.yaml has it
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ValueError(f"is no mapping, and no JSON text of one ({error})") from error
    if value is not None and not isinstance(value, dict):
        raise ValueError("is no mapping of keys to values")
    return json.dumps(value or {}, sort_keys=True)


# A mapping of another library's settings (null: an empty one), kept as its JSON text: nothing in a configuration can be
# changed.
JsonText: TypeAlias = Annotated[str, BeforeValidator(_frozen_json)]

V = TypeVar("V")


class FrozenMapping(Mapping[str, V]):
    """A mapping that cannot be changed, and can be hashed; it keeps its order."""

    def __init__(self, items: Mapping[str, V]):
        self._items = dict(items)

    def __getitem__(self, key: str) -> V:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(tuple(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)


Frozen: TypeAlias = Annotated[
    Mapping[str, V], AfterValidator(FrozenMapping), WrapSerializer(lambda value, dump: dump(dict(value)))
]
