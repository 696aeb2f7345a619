"""The registry of parts, and the configuration fields that take any registered kind of a group.

A part is a frozen dataclass. Its fields are what the YAML sets; its class attributes and methods are its *traits*: the
core asks for a trait, never for a class. The traits of a group are in `parts.<group>`.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache, reduce
from operator import or_
from types import MappingProxyType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    TypeAlias,
    TypeVar,
    dataclass_transform,
    get_args,
    get_type_hints,
)

from pydantic import Field, GetCoreSchemaHandler, TypeAdapter, ValidationInfo
from pydantic.dataclasses import dataclass
from pydantic_core import core_schema

from ..errors import ConfigError
from ..fields import STRICT

if TYPE_CHECKING:
    from ..config.schema import Config

Group: TypeAlias = Literal["new_prompts", "generation", "judge", "pairing", "filter", "conditioning", "objective"]
P = TypeVar("P")

_KINDS: dict[str, dict[str, type]] = {group: {} for group in get_args(Group)}


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(Field,))
def part(group: Group) -> Callable[[type[P]], type[P]]:
    """Make a class a frozen, strictly validated dataclass, and register it as a kind of `group`, under the word of its
    field `kind: Literal["…"]`.

    Raises:
        ConfigError: there is no such group, the class is no part of it, or another class has that kind already.
    """

    if group not in _KINDS:
        raise ConfigError(f"@part({group!r}): there is no such group", f"name one of {', '.join(_KINDS)}")

    def register(cls: type[P]) -> type[P]:
        kind = _kind_of(cls, group)
        made: Any = dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)(cls)
        _let_super_find(cls, made)
        other = _KINDS[group].setdefault(kind, made)
        if _name(other) != _name(made):
            raise ConfigError(
                f"{group}.kind={kind} is {_name(other)} already, and {_name(made)} wants to be it too",
                f"give {_name(made)} another kind",
            )
        _KINDS[group][kind] = made  # a module that is loaded anew brings its newest class
        return made

    return register


def _kind_of(cls: type, group: Group) -> str:
    """The kind that a class wants to be.

    Raises:
        ConfigError: it is no part of the group, or does not say which one.
    """
    name, page = _name(cls), "docs/your-own-parts.md shows one"
    if "__dataclass_fields__" in vars(cls):
        raise ConfigError(f"{name} is a dataclass already, and @part makes it one", "leave its own decorator out")
    bases = [one for one in cls.__mro__ if one.__module__ == f"{__package__}.{group}"]
    if not bases:
        raise ConfigError(f"{name} is registered as a {group}, but derives from no {group}", page)
    named = get_args(get_type_hints(cls).get("kind"))
    if len(named) != 1 or not isinstance(named[0], str):
        raise ConfigError(f"{name} does not say which kind it is", f'write kind: Literal["my_{group}"] in it; {page}')
    for trait in ("sentence", "build"):
        if (given := getattr(bases[-1], trait, None)) is not None and getattr(cls, trait) is given:
            raise ConfigError(f"{name} has no {trait}()", page)
    return named[0]


def _let_super_find(cls: type, made: type) -> None:
    """Point `super()` in the class's methods to the class that is made of it: slots make a new one."""
    for member in vars(cls).values():
        function = getattr(member, "__func__", None) or getattr(member, "fget", None) or member
        for cell in getattr(function, "__closure__", None) or ():
            if cell.cell_contents is cls:
                cell.cell_contents = made


def kinds(group: Group) -> Mapping[str, type]:
    """The classes of a group by their kind, as far as they are imported."""
    return MappingProxyType(_KINDS[group])


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a part stands.

    Example:
        Place(field="evaluation.judge.members.strict", config=config)
    """

    field: str  # as the user writes it
    config: "Config"  # of the phase

    def __truediv__(self, field: str) -> "Place":
        """A field of the part, or a part within it."""
        return Place(field=f"{self.field}.{field}", config=self.config)

    def __str__(self) -> str:
        return self.field


def everything(_: type) -> bool:
    return True


@dataclasses.dataclass(frozen=True, slots=True)
class AnyKind:
    """Annotates a configuration field that holds a part: any registered kind of the group for which `where` holds.

    The kinds are looked up when a value is validated, so that a user's module may register more of them at any time.

    Example:
        filter: Annotated[FilterPart, AnyKind("filter")]
    """

    group: Group
    where: Callable[[type], bool] = everything

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(self._validated)

    def members(self) -> Iterator[type]:
        """The classes that such a field may hold."""
        return (cls for _, cls in sorted(kinds(self.group).items()) if self.where(cls))

    def _validated(self, value: Any, info: ValidationInfo) -> Any:
        adapter = _union(tuple(self.members()))
        if info.mode == "json":  # strict, but with JSON's own types: a list for a tuple
            return adapter.validate_json(json.dumps(value), strict=True)
        return adapter.validate_python(value)


@cache
def _union(members: tuple[type, ...]) -> TypeAdapter[Any]:
    """Tells its members apart by `kind`, whose value stands in the locations of errors."""
    if len(members) == 1:
        return TypeAdapter(members[0])
    discriminated: Any = Annotated[reduce(or_, members), Field(discriminator="kind")]  # pyright: ignore
    return TypeAdapter(discriminated)


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
