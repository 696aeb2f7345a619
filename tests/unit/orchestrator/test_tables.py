"""Records to tables and back: what is read equals what was written, field by field and type by type."""

import dataclasses
import types
import typing
from typing import Any, Literal, get_args, get_origin

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from roundelay.orchestrator.data import records
from roundelay.orchestrator.data.records import Dropped, Judgment, Message, PairingOutcome, Prompt
from roundelay.orchestrator.data.tables import arrow_schema, from_table, to_table

STORED = [
    cls
    for cls in vars(records).values()
    if isinstance(cls, type) and dataclasses.is_dataclass(cls) and cls.__module__ == records.__name__
    if cls not in (records.PolicyRef, records.UpdateStart)  # in JSON files alone
]
SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(st.characters(codec="utf-8"), max_size=20),
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Any value that a field of this type may have."""
    if hint in SCALARS:
        return SCALARS[hint]
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if get_origin(hint) is tuple:
        return st.lists(values(get_args(hint)[0]), max_size=3).map(tuple)
    if get_origin(hint) is types.UnionType:
        return st.one_of([st.none() if arg is types.NoneType else values(arg) for arg in get_args(hint)])
    hints = typing.get_type_hints(hint)
    return st.builds(hint, **{field.name: values(hints[field.name]) for field in dataclasses.fields(hint)})


@pytest.mark.parametrize("cls", STORED, ids=lambda cls: cls.__name__)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_record_comes_back_from_parquet_as_it_was_written(cls: type, data: st.DataObject) -> None:
    """Equal values of equal types (tuples, not lists; 1.0, not 1), through the file format that the ledger uses."""
    written = data.draw(st.lists(values(cls), max_size=3))
    sink = pa.BufferOutputStream()
    pq.write_table(to_table(cls, written), sink, compression="zstd")
    read = from_table(cls, pq.read_table(pa.BufferReader(sink.getvalue())))
    assert read == written
    assert repr(read) == repr(written)


def test_every_record_class_is_covered_by_the_round_trip() -> None:
    names = {cls.__name__ for cls in STORED}
    assert {
        "Prompt",
        "Rollout",
        "Judgment",
        "PreferencePair",
        "Dropped",
        "PairingOutcome",
        "TrainingExample",
        "ResponseGroup",
    } <= names


def test_no_records_are_a_table_of_no_rows_with_the_same_columns() -> None:
    table = to_table(Judgment, [])
    assert table.schema == arrow_schema(Judgment)
    assert from_table(Judgment, table) == []


def test_only_optional_fields_may_be_empty() -> None:
    """A missing score is stored as missing, not as a number; an id or a status can not be missing."""
    nullable = {field.name for field in arrow_schema(Judgment) if field.nullable}
    assert nullable == {"score", "choice_mass", "other", "probability", "agrees"}
    judgment = Judgment(prompt_id="p", sample=0, vote=0, status="unparsable", score=None, choice_mass=None, text="?")
    assert to_table(Judgment, [judgment]).column("score").null_count == 1


def test_types_of_columns_are_those_of_the_fields() -> None:
    schema = arrow_schema(Judgment)
    assert (schema.field("sample").type, schema.field("score").type) == (pa.int64(), pa.float64())
    assert arrow_schema(Prompt).field("messages").type.value_type == pa.struct(
        [pa.field("role", pa.string(), nullable=False), pa.field("content", pa.string(), nullable=False)]
    )


def test_a_table_that_holds_no_such_records_is_refused() -> None:
    """A wrong role, and a missing field."""
    wrong = pa.table({"role": ["robot"], "content": ["Hi"]})
    with pytest.raises(ValidationError, match="role"):
        from_table(Message, wrong)
    with pytest.raises(ValidationError, match="content"):
        from_table(Message, pa.table({"role": ["user"]}))


def test_a_record_with_a_field_that_no_table_holds_is_refused_by_its_schema() -> None:
    @dataclasses.dataclass(frozen=True)
    class Odd:
        bounds: tuple[float, float]  # two numbers, not any number of them

    with pytest.raises(TypeError, match="stores no"):
        arrow_schema(Odd)


def test_nested_optional_records_are_none_and_not_a_record_of_nothing() -> None:
    outcome = PairingOutcome(pair=None, dropped=Dropped(prompt_id="p", reason="tie"))
    assert from_table(PairingOutcome, to_table(PairingOutcome, [outcome])) == [outcome]
