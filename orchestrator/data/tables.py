"""Records to Arrow tables and back, with schemas derived from the dataclasses: what is read equals what was written."""

import dataclasses
import types
import typing
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, TypeVar, get_args, get_origin

import pyarrow as pa
from pydantic import TypeAdapter

T = TypeVar("T")

_SCALARS = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


@cache
def arrow_schema(cls: type) -> pa.Schema:
    """The Arrow schema of a record class.

    Raises:
        TypeError: a field has a type that the ledger does not store.
    """
    return pa.schema(_fields(cls))


def to_table(cls: type[T], records: Sequence[T]) -> pa.Table:
    """One row a record."""
    rows = _adapter(cls).dump_python(list(records))  # dataclasses.asdict copies every token by itself
    return pa.Table.from_pylist(rows, schema=arrow_schema(cls))


def from_table(cls: type[T], table: pa.Table) -> list[T]:
    """The records of `table`, validated field by field."""
    return _adapter(cls).validate_python(table.to_pylist())


@cache
def _adapter(cls: type[T]) -> TypeAdapter[list[T]]:
    return TypeAdapter(list[cls])  # pyright: ignore[reportInvalidTypeForm]


def _fields(cls: type) -> list[pa.Field]:
    hints = typing.get_type_hints(cls)
    fields = []
    for field in dataclasses.fields(cls):
        inner, nullable = _strip_optional(hints[field.name])
        fields.append(pa.field(field.name, _arrow_type(inner), nullable=nullable))
    return fields


def _arrow_type(hint: Any) -> pa.DataType:
    if hint in _SCALARS:
        return _SCALARS[hint]
    if get_origin(hint) is Literal:
        return pa.string()
    if get_origin(hint) is tuple and get_args(hint)[1:] == (...,):
        inner, nullable = _strip_optional(get_args(hint)[0])
        return pa.list_(pa.field("item", _arrow_type(inner), nullable=nullable))
    if dataclasses.is_dataclass(hint):
        return pa.struct(_fields(typing.cast(type, hint)))
    raise TypeError(f"the ledger stores no {hint}")


def _strip_optional(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) is types.UnionType:
        (inner,) = (arg for arg in get_args(hint) if arg is not types.NoneType)
        return inner, True
    return hint, False
