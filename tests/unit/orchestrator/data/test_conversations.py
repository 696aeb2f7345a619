"""Conversations in cells: histories of given responses, lists written as text, cells that hold something else."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundelay.orchestrator.data.messages import turns_of
from roundelay.orchestrator.data.records import Message, Prompt
from roundelay.orchestrator.data.rows import placed_prompts
from roundelay.orchestrator.data.sources import PromptsConfig, PromptSource, SeedSource
from roundelay.orchestrator.errors import ConfigError

U, A, S = ((lambda text, role=role: {"role": role, "content": text}) for role in ("user", "assistant", "system"))
PAIR = ("chosen", "rejected")


def read(path: Path, responses: tuple[str, ...] = (), **values: Any) -> list[Prompt]:
    source = PromptSource(path=str(path))
    seed = SeedSource(path=str(path), split="train", responses=("completion",))
    config = PromptsConfig(
        train=source,
        heldout=source,
        seed=seed,
        **{"prompt_column": "prompt", "id_column": None, "system": None, **values},
    )
    field = "prompts.seed.path" if responses else "prompts.train.path"
    return [prompt for _, prompt in placed_prompts(source, config, field, responses)]


def rows(folder: Path, *values: Any) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(value)}\n" for value in values))
    return path


def messages(*turns: dict[str, str]) -> tuple[Message, ...]:
    return tuple(Message(**turn) for turn in turns)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("prompt", "before", "asked"),
    [
        # Of a conversation, `prompt` is the first question, or the last, or all of it, or it is not there.
        ("Q1", [U("Q1"), A("A1"), U("Q2")], [U("Q1"), A("A1"), U("Q2")]),
        ("Q2", [U("Q1"), A("A1"), U("Q2")], [U("Q1"), A("A1"), U("Q2")]),
        ([U("Q1"), A("A1"), U("Q2")], [U("Q1"), A("A1"), U("Q2")], [U("Q1"), A("A1"), U("Q2")]),
        ([U("Q1"), A("A1"), U("Q2")], [U("Q2")], [U("Q1"), A("A1"), U("Q2")]),
        ([U("Q1"), A("A1"), U("Q2")], [], [U("Q1"), A("A1"), U("Q2")]),
        (None, [U("Q1"), A("A1"), U("Q2")], [U("Q1"), A("A1"), U("Q2")]),
        # A system message of either is kept.
        ("Q1", [S("Be a pirate."), U("Q1")], [S("Be a pirate."), U("Q1")]),
        ([S("Be a pirate."), U("Q1")], [U("Q1")], [S("Be a pirate."), U("Q1")]),
        ([S("Be a pirate."), U("Q1")], [U("Q1"), A("A1"), U("Q2")], [S("Be a pirate."), U("Q1"), A("A1"), U("Q2")]),
        # White space around texts makes no difference, and the prompt's own stays.
        ("Q1 ", [U("Q1")], [U("Q1 ")]),
    ],
)
def test_the_history_of_given_responses_is_what_they_answer(
    tmp_path: Path, prompt: Any, before: list[Any], asked: list[Any]
) -> None:
    row = {"chosen": [*before, A("Good.")], "rejected": [*before, A("Bad.")]}
    (found,) = read(rows(tmp_path, row if prompt is None else {"prompt": prompt, **row}), PAIR)
    assert (found.messages, found.responses) == (messages(*asked), ("Good.", "Bad."))


def test_a_plain_response_beside_a_conversation_answers_the_same(tmp_path: Path) -> None:
    (found,) = read(rows(tmp_path, {"prompt": "Q1", "chosen": [U("Q1"), A("Good.")], "rejected": "Bad."}), PAIR)
    assert (found.messages, found.responses) == (messages(U("Q1")), ("Good.", "Bad."))


@pytest.mark.parametrize(
    ("prompt", "chosen", "rejected", "problem"),
    [
        ("Name a float.", [U("What is 2+2?"), A("4")], [U("What is 2+2?"), A("5")], "is not what the conversation"),
        ("Q2", [U("Q1"), A("A1"), U("Q2"), A("A2"), U("Q3"), A("4")], "5", "is not what the conversation"),
        ([S("Be brief."), U("Q")], [S("Be long."), U("Q"), A("4")], "5", "is not what the conversation"),
        ("Q", [U("Q"), A("4")], [U("Other"), A("5")], "differ before their last answers"),
        ("Q", [S("Rhyme."), U("Q"), A("4")], [U("Q"), A("5")], "differ before their last answers"),
        ("Q", [U("Q"), A("4"), U("Thanks.")], "5", "ends with the user's message"),
    ],
)
def test_a_conversation_that_disagrees_is_refused_with_its_line(
    tmp_path: Path, prompt: Any, chosen: Any, rejected: Any, problem: str
) -> None:
    path = rows(
        tmp_path,
        {"prompt": "ok", "chosen": "y", "rejected": "n"},
        {"prompt": prompt, "chosen": chosen, "rejected": rejected},
    )
    with pytest.raises(ConfigError, match=problem) as caught:
        read(path, PAIR)
    assert f"{path}, line 2: " in caught.value.what and caught.value.remedy


@pytest.mark.parametrize("written", [repr, json.dumps])
def test_lists_of_messages_in_csv_cells_are_conversations(tmp_path: Path, written: Any) -> None:
    """As Python prints them, and as JSON; a text that only begins with a bracket stays text."""
    path = tmp_path / "lists.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [
                ["prompt", *PAIR],
                [written([U('It\'s "Q"?')]), written([A("Gut, näh.")]), written([U('It\'s "Q"?'), A("Bad.")])],
                ["[sic] What?", "[1, 2]", "[{x}]"],
            ]
        )
    first, second = read(path, PAIR)
    assert (first.messages, first.responses) == (messages(U('It\'s "Q"?')), ("Gut, näh.", "Bad."))
    assert (second.messages, second.responses) == (messages(U("[sic] What?")), ("[1, 2]", "[{x}]"))


def test_json_within_json_is_read_and_a_broken_list_refused(tmp_path: Path) -> None:
    (found,) = read(rows(tmp_path, {"prompt": json.dumps([U("Q1"), A("A1"), U("Q2")])}))
    assert found.messages == messages(U("Q1"), A("A1"), U("Q2"))
    # As pandas prints an array of dictionaries: no commas between them.
    for broken in ("[{'role': 'user', 'content': 'Q'}\n {'role': 'user', 'content': 'R'}]", "[{'role': 'user'"):
        with pytest.raises(ConfigError, match="line 1: a cell begins as a list of messages does"):
            read(rows(tmp_path, {"prompt": broken}))


@given(st.text() | st.lists(st.text()) | st.none() | st.integers())
def test_cells_without_messages_are_left_as_they_are(value: Any) -> None:
    assert turns_of(value, "here") == value


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        (7, "is a int (7), not text"),
        ([3], "is a int (3), not text"),
        ([["A"]], "is a list (['A']), not text"),
        (None, "the cell of column 'completion' (prompts.seed.responses) is null"),
        ([None], "is nothing (null), not text"),
        ([], "an empty list of responses"),
        ("", "holds an empty response"),
        ({"text": "A"}, "is a dict ({'text': 'A'}), not text"),
    ],
)
def test_a_response_that_is_no_text_is_called_what_it_is(tmp_path: Path, cell: Any, says: str) -> None:
    path = rows(tmp_path, {"prompt": "Q", "completion": cell})
    with pytest.raises(ConfigError) as caught:
        read(path, ("completion",))
    assert f"{path}, line 1: " in caught.value.what and says in caught.value.what


def test_a_null_prompt_is_called_null_with_its_line(tmp_path: Path) -> None:
    path = rows(tmp_path, {"prompt": "Q 1?"}, {"prompt": None})
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert caught.value.what == f"{path}, line 2: the cell of column 'prompt' (prompts.prompt_column) is null"


def test_a_csv_cell_may_be_as_long_as_a_document(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    text = "word, " * 60_000
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["prompt"], [text], ["Short."]])
    assert [len(prompt.messages[0].content) for prompt in read(path)] == [360_000, 6]


def test_two_csv_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.csv"
    path.write_text("prompt,prompt\na,b\n")
    with pytest.raises(ConfigError, match="two columns are called 'prompt'"):
        read(path)


def test_a_row_that_label_calls_bad_is_not_learnt_as_good(tmp_path: Path) -> None:
    good = {"prompt": "Q", "completion": "A", "label": True}
    assert len(read(rows(tmp_path, good), ("completion",))) == 1
    with pytest.raises(ConfigError, match="calls the response in column 'completion' a bad one"):
        read(rows(tmp_path, good, {**good, "prompt": "R", "label": False}), ("completion",))
