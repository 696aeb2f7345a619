"""The formats of labelled pairs, with rows written by hand as the benchmarks have them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundelay.launch.compare.row_files import file_rows
from roundelay.orchestrator.errors import ConfigError
from roundelay.recipes.evaluation.labelled import FORMATS, UNREAD, LabelledPair, read_labelled

FIXTURES = Path(__file__).parents[3] / "support" / "labelled"


def read(name: str, format: str) -> list[LabelledPair]:
    return read_labelled(file_rows(FIXTURES / name), format)


def row_of(format: str) -> dict[str, Any]:
    """A row that fits."""
    names = {
        "pandalm": "pandalm.json", "llmbar": "llmbar.json", "mt_bench": "mt_bench.jsonl",
        "rewardbench": "rewardbench.jsonl",
    }  # fmt: skip
    rows = [row for _, row in file_rows(FIXTURES / names[format])]
    return dict(rows[-1])


def one(format: str, row: Mapping[str, Any]) -> LabelledPair:
    (pair,) = read_labelled([("there", row)], format)
    return pair


def test_pandalm_takes_the_majority_of_its_annotators() -> None:
    """2, 2, 1: b. 0, 0, 1: a tie. 1, 0, 2, all different: the first one's, as in its own script. An input that is NaN
    is none."""
    first, second, third = read("pandalm.json", "pandalm")
    assert first == LabelledPair(
        prompt="Shorten the sentence.\n\nIt rains and it does not stop.",
        a="It rains.",
        b="It keeps raining.",
        label="b",
    )
    assert (second.prompt, second.label, second.b) == ("Name a colour.", "tie", "")
    assert third.label == "a"


def test_pandalms_odd_rows_are_read_as_its_own_code_reads_them_and_are_noted() -> None:
    """JSON's true is the word, a blank instruction leaves the input alone, an empty response is one. The published file
    has 6, 1 and 54 such rows among 999; every one is read."""
    right, wrong, blank, empty = read("pandalm_odd.json", "pandalm")
    assert (right.a, right.b, right.label) == ("True", "True.", "tie")
    assert (wrong.a, wrong.b, wrong.label) == ("It is not.", "True", "a")
    assert (blank.prompt, blank.label) == ("Courage", "b")
    assert (empty.prompt, empty.a, empty.b) == ("Name a tree.", "", "The ash.")
    notes = [pair.notes for pair in (right, wrong, blank, empty)]
    assert [len(of_row) for of_row in notes] == [1, 1, 1, 1] and notes[0] == notes[1] != notes[2] != notes[3]
    assert "JSON's true" in notes[0][0] and "blank" in notes[2][0] and "empty" in notes[3][0]
    assert [pair.notes for pair in read("pandalm.json", "pandalm")[:1]] == [()]


def test_a_pair_without_instruction_and_input_is_refused() -> None:
    with pytest.raises(ConfigError, match="'instruction' is ' ', not text"):
        one("pandalm", {**row_of("pandalm"), "instruction": " ", "input": " "})


def test_odd_rows_of_the_other_benchmarks_are_read_and_noted() -> None:
    (empty,) = read("llmbar_odd.json", "llmbar")
    assert (empty.b, empty.label, empty.notes) == ("", "a", ("a response is empty",))
    inconsistent, silent = read("mt_bench_odd.jsonl", "mt_bench")
    assert inconsistent.label == "tie" and "tie (inconsistent)" in inconsistent.notes[0]
    assert silent.a.endswith("assistant: ") and silent.notes == ("a response is empty",)
    assert inconsistent.notes == ("the winner is 'tie (inconsistent)', read as a tie",)


def test_each_benchmark_says_what_an_unread_answer_is() -> None:
    """PandaLM's script makes a tie of "garbage", LLMBar's no winner, RewardBench's half a point."""
    assert UNREAD == {"pandalm": "tie", "llmbar": "wrong", "mt_bench": "left_out", "rewardbench": "tie"}
    assert UNREAD.keys() == FORMATS.keys()


def test_llmbar_names_the_better_output() -> None:
    first, second = read("llmbar.json", "llmbar")
    assert first == LabelledPair(prompt="Name one river.", a="The Nile.", b="I like rivers.", label="a")
    assert second.label == "b"


def test_mt_benchs_first_turn_is_about_the_first_answers() -> None:
    first, *_ = read("mt_bench.jsonl", "mt_bench")
    assert first == LabelledPair(prompt="Add 2 and 2.", a="4", b="5", label="a", subset="turn 1")


def test_mt_benchs_second_turn_is_about_all_that_follows_the_first_question() -> None:
    _, second, third = read("mt_bench.jsonl", "mt_bench")
    assert second == LabelledPair(
        prompt="Add 2 and 2.",
        a="assistant: 4\nuser: And 3.\nassistant: 7",
        b="assistant: 5\nuser: And 3.\nassistant: 8",
        label="tie",
        subset="turn 2",
    )
    assert third.label == "b"


def test_rewardbenchs_chosen_response_stands_on_either_side_and_the_label_follows_it() -> None:
    """By the texts alone, so the same each time; over many pairs on both sides about as often."""
    rows = [{"prompt": f"q{i}", "chosen": "good", "rejected": "bad", "subset": "math"} for i in range(200)]
    pairs = [one("rewardbench", row) for row in rows]
    assert all({"a": pair.a, "b": pair.b}[pair.label] == "good" for pair in pairs)
    assert 70 < sum(pair.label == "a" for pair in pairs) < 130
    assert pairs == [one("rewardbench", row) for row in rows]
    assert [pair.subset for pair in read("rewardbench.jsonl", "rewardbench")] == ["alpacaeval-easy", "math-prm"]


@pytest.mark.parametrize("format", ["mt_bench", "rewardbench"])
def test_parquet_holds_what_jsonl_holds(format: str, tmp_path: Path) -> None:
    """As the hub serves these two."""
    rows = [row for _, row in file_rows(FIXTURES / f"{format}.jsonl")]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    assert read_labelled(file_rows(tmp_path / "rows.parquet"), format) == read(f"{format}.jsonl", format)


@pytest.mark.parametrize(
    ("format", "changes", "says"),
    [
        ("pandalm", {"annotator2": 3}, "'annotator2' is 3, not one of 0, 1, 2"),
        ("pandalm", {"annotator1": None}, "'annotator1' is None"),
        ("pandalm", {"instruction": " "}, "'instruction' is ' ', not text"),
        ("pandalm", {"response1": 7}, "'response1' is 7, not text"),
        ("pandalm", {"input": 7}, "'input' is 7, not text"),
        ("llmbar", {"label": 0}, "'label' is 0, not one of 1, 2"),
        ("llmbar", {"label": True}, "'label' is True"),
        ("llmbar", {"output_2": None}, "'output_2' is None, not text"),
        ("mt_bench", {"winner": "model_c"}, "'winner' is 'model_c', not one of model_a, model_b"),
        ("mt_bench", {"turn": 3}, "'turn' is 3, not one of 1, 2"),
        ("mt_bench", {"conversation_a": []}, "'conversation_a' is no conversation of 2 turn(s)"),
        ("mt_bench", {"conversation_b": "text"}, "'conversation_b' is no conversation"),
        ("mt_bench", {"conversation_a": [{"role": "assistant", "content": "4"}] * 4},
         "message 1 of 'conversation_a' is not the user's"),
        ("rewardbench", {"chosen": ["x"]}, "'chosen' is ['x'], not text"),
        ("rewardbench", {"subset": None}, "'subset' is None, not text"),
    ],
)  # fmt: skip
def test_a_row_that_does_not_fit_is_refused_by_place_and_field(format: str, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_labelled([("pairs.json, row 7", {**row_of(format), **changes})], format)
    assert caught.value.what.startswith("pairs.json, row 7: ") and says in caught.value.what
    assert format in caught.value.remedy


@pytest.mark.parametrize("format", FORMATS)
def test_a_row_of_another_format_is_refused_by_its_first_missing_field(format: str) -> None:
    with pytest.raises(ConfigError, match="absent"):
        read_labelled([("row 1", {"question": "?"})], format)


def test_conversations_about_different_questions_are_refused() -> None:
    row = row_of("mt_bench")
    other = [{"role": "user", "content": "Another."}, *row["conversation_b"][1:]]
    with pytest.raises(ConfigError, match="different questions"):
        one("mt_bench", {**row, "conversation_b": other})


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(ConfigError, match="no pairs"):
        read_labelled([], "llmbar")


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text(), max_size=2)
FIELDS = st.sampled_from([
    "instruction", "input", "response1", "response2", "annotator1", "annotator2", "annotator3", "output_1", "output_2",
    "label", "turn", "winner", "conversation_a", "conversation_b", "prompt", "chosen", "rejected", "subset",
])  # fmt: skip


@given(
    format=st.sampled_from(sorted(FORMATS)), changes=st.dictionaries(FIELDS, VALUES, max_size=3), row=st.none() | VALUES
)
def test_whatever_stands_in_a_row_it_is_a_pair_or_a_refusal(format: str, changes: dict[str, Any], row: Any) -> None:
    for given_row in ({**row_of(format), **changes}, row):
        try:
            pair = one(format, given_row)
        except ConfigError:
            continue
        assert pair.label in ("a", "b", "tie")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("pairs.csv", "a,b", "is no .json, .jsonl or .parquet file"),
        ("pairs.json", '{"rows": []}', "holds a dict, not a list of rows"),
        ("pairs.json", "[1,", "cannot be read"),
        ("pairs.jsonl", '{"input": 1}\n{', "cannot be read"),
        ("pairs.parquet", "not parquet", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_by_name(name: str, content: str, says: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError) as caught:
        list(file_rows(tmp_path / name))
    assert name in caught.value.what and says in caught.value.what


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        list(file_rows(tmp_path / "absent.json"))


def test_rows_are_named_by_their_place(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(json.dumps({"a": 1}) + "\n\n" + json.dumps({"a": 2}) + "\n")
    assert [where.rpartition(", ")[2] for where, _ in file_rows(tmp_path / "x.jsonl")] == ["line 1", "line 3"]
