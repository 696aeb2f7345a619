"""Prompts from the user's files into the run directory: what is read, what is refused, what is taken back."""

import csv
import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roundelay.orchestrator.data.records import Message, Prompt
from roundelay.orchestrator.data.rows import read_prompts
from roundelay.orchestrator.data.sources import PromptsConfig, PromptSource, SeedSource
from roundelay.orchestrator.errors import ConfigError
from roundelay.orchestrator.ledger.ledger import Ledger
from roundelay.orchestrator.prompts.store import PromptStore, freeze_prompts, freeze_seed

CHAT = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Who?"},
]


def config(path: Path | str, **changes: Any) -> PromptsConfig:
    source = PromptSource(path=str(path))
    values: dict[str, Any] = {"prompt_column": "prompt", "id_column": "id", "system": None} | changes
    seed = SeedSource(path=str(path), split="train", responses=("completion",))
    return PromptsConfig(train=source, heldout=source, seed=seed, **values)


def read(path: Path | str, **changes: Any) -> list[Prompt]:
    settings = config(path, **changes)
    return list(read_prompts(settings.train, settings, "prompts.train.path"))


def refused(path: Path | str, **changes: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read(path, **changes)
    return caught.value


def jsonl(folder: Path, *rows: Any) -> Path:
    path = folder / f"{uuid.uuid4().hex}.jsonl"
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def freeze(ledger: Ledger, path: Path, name: str = "train", **changes: Any) -> dict[str, Any]:
    settings = config(path, **changes)
    return freeze_prompts(ledger, settings, field="prompts.train.path", source=settings.train, name=name)


def plain(identity: str, content: str) -> Prompt:
    return Prompt(id=identity, messages=(Message(role="user", content=content),))


CONVERSATION = tuple(Message(**turn) for turn in CHAT)  # pyright: ignore[reportArgumentType]


# -------------------------------------------------------------------------------------------------------------- formats


def test_jsonl_holds_plain_and_conversational_prompts(tmp_path: Path) -> None:
    """In TRL's two formats, mixed; blank lines and other columns are passed over, a last line needs no line feed."""
    path = jsonl(
        tmp_path,
        {"id": "a", "prompt": "Name a prime.", "chosen": "7"},
        "\r\n",
        {"id": 2, "prompt": CHAT},
        '{"id": "c", "prompt": "Größe, \\u2028 \\"quoted\\""}',
    )
    assert read(path) == [
        plain("a", "Name a prime."),
        Prompt(id="2", messages=CONVERSATION),
        plain("c", 'Größe, \u2028 "quoted"'),
    ]


def test_csv_cells_may_hold_commas_quotes_and_line_feeds(tmp_path: Path) -> None:
    path = tmp_path / "prompts.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "prompt"], ["a", 'x, "y"\nz'], ["b", "ü"]])
    assert read(path) == [plain("a", 'x, "y"\nz'), plain("b", "ü")]


def test_parquet_holds_plain_and_conversational_prompts(tmp_path: Path) -> None:
    for rows in ([{"id": 1, "prompt": "Hi"}, {"id": 2, "prompt": "Ho"}], [{"id": 1, "prompt": CHAT}]):
        path = tmp_path / "prompts.PARQUET"
        pq.write_table(pa.Table.from_pylist(rows), path)
        expected = [plain("1", "Hi"), plain("2", "Ho")] if len(rows) == 2 else [Prompt(id="1", messages=CONVERSATION)]
        assert read(path) == expected


def test_columns_are_those_that_the_configuration_names(tmp_path: Path) -> None:
    path = jsonl(tmp_path, {"id": "no", "prompt": "no", "key": "k", "instruction": "Do it."})
    assert read(path, prompt_column="instruction", id_column="key") == [plain("k", "Do it.")]


def test_without_an_id_column_ids_are_hashes_of_the_conversation(tmp_path: Path) -> None:
    """The first 16 hex digits of SHA-256 over the JSON of (role, content): the same in every run and every format."""
    path = jsonl(tmp_path, {"prompt": "Hi"}, {"prompt": [{"role": "user", "content": "Hi"}]}, {"prompt": CHAT})
    first, same, other = read(path, id_column=None)
    assert first.id == same.id == hashlib.sha256(b'[["user", "Hi"]]').hexdigest()[:16]
    assert other.id != first.id


def test_a_system_message_is_put_before_prompts_that_have_none(tmp_path: Path) -> None:
    own = [{"role": "system", "content": "Mine."}, *CHAT]
    path = jsonl(tmp_path, {"id": "a", "prompt": "Hi"}, {"id": "b", "prompt": own})
    first, second = read(path, system="Be brief.")
    assert first.messages == (Message(role="system", content="Be brief."), Message(role="user", content="Hi"))
    assert second.messages == (Message(role="system", content="Mine."), *CONVERSATION)


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ('{"id": "b", "prompt": \n', "not JSON"),
        ('["b", "Hi"]\n', "a list, not an object"),
        ({"id": "b", "text": "Hi"}, "no column 'prompt' (prompts.prompt_column); the row has id, text"),
        ({"prompt": "Hi"}, "no column 'id' (prompts.id_column)"),
        ({"id": "b", "prompt": None}, "the cell of column 'prompt' (prompts.prompt_column) is null"),
        ({"id": "b", "prompt": " \n"}, "the prompt is empty"),
        ({"id": "b", "prompt": 7}, "the prompt is a int"),
        ({"id": "b", "prompt": []}, "the prompt is a list"),
        ({"id": "b", "prompt": ["Hi"]}, "message 'Hi' is malformed"),
        ({"id": "b", "prompt": [{"role": "bot", "content": "Hi"}]}, "malformed"),
        ({"id": "b", "prompt": [{"role": "user", "content": None}]}, "malformed"),
        ({"id": "b", "prompt": "half a \ud83d"}, "half a surrogate pair"),
        ({"id": "b", "prompt": CHAT[:2]}, "the last message is the assistant's"),
        ({"id": 1.5, "prompt": "Hi"}, "id 1.5 is neither text nor a whole number"),
        ({"id": "", "prompt": "Hi"}, "id '' is neither"),
    ],
)
def test_a_malformed_row_is_refused_with_its_line(tmp_path: Path, row: Any, problem: str) -> None:
    """The bad row stands on line 4 of the file, after a blank line, which counts."""
    path = jsonl(tmp_path, {"id": "a", "prompt": "Hi"}, "\n", {"id": "z", "prompt": "Ho"}, row)
    error = refused(path)
    assert f"{path}, line 4: " in error.what and problem in error.what
    assert error.remedy


def test_a_csv_row_with_too_many_or_too_few_cells_is_refused_with_its_line(tmp_path: Path) -> None:
    for row in ("b,Hi,there", "b"):
        path = tmp_path / "prompts.csv"
        path.write_text(f'id,prompt\na,"two\nlines"\n{row}\n')
        assert refused(path).what == f"{path}, line 4: not 2 cells"


def test_a_parquet_row_is_refused_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "prompts.parquet"
    rows = [{"id": str(n), "prompt": "Hi" if n != 299 else ""} for n in range(400)]
    pq.write_table(pa.Table.from_pylist(rows), path)
    assert refused(path).what == f"{path}, row 300: the prompt is empty, or a message of it is"


@pytest.mark.parametrize(
    ("name", "data"),
    [("x.jsonl", b"\xff\xfe{}"), ("x.parquet", b"PAR1 nonsense"), ("x.csv", b'id,prompt\na,"never closed\n')],
)
def test_an_unreadable_file_is_refused_with_its_field(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    error = refused(path)
    assert error.what.startswith(f"prompts.train.path={path} cannot be read: ")


def test_a_missing_file_and_one_of_an_unknown_kind_are_refused(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "none.jsonl").what
    (tmp_path / "prompts.txt").write_text("Hi")
    for path in (tmp_path / "prompts.txt", tmp_path, "./none", "prompts.jsonl.gz"):
        error = refused(path)
        assert f"prompts.train.path={path} is no .jsonl, .csv or .parquet file" in error.what
        assert "datasets" in error.remedy


# ------------------------------------------------------------------------------------------------ frozen and taken back


@pytest.fixture(params=["local", "memory"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    return Ledger(str(tmp_path / "run") if request.param == "local" else f"memory://prompts-{uuid.uuid4().hex}")


def test_a_frozen_set_is_the_source_in_its_order(ledger: Ledger, tmp_path: Path) -> None:
    """600 prompts are three batches of the file: iteration and single prompts cross their borders."""
    path = jsonl(tmp_path, *({"id": f"p{n}", "prompt": f"Question {n}?"} for n in range(600)))
    assert freeze(ledger, path)["rows"] == 600
    store = PromptStore(ledger, "train")
    expected = [plain(f"p{n}", f"Question {n}?") for n in range(600)]
    assert (len(store), list(store)) == (600, expected)
    for indices in ([599, 0, 256, 255, 256, 512, 511], [], range(250, 260)):
        assert store.take(indices) == tuple(expected[index] for index in indices)


@pytest.mark.parametrize("limit", [1, 256, 257, 400])
def test_a_limit_takes_the_first_prompts(ledger: Ledger, tmp_path: Path, limit: int) -> None:
    freeze(ledger, jsonl(tmp_path, *({"id": str(n), "prompt": "?"} for n in range(300))))
    store = PromptStore(ledger, "train", limit=limit)
    expected = [str(n) for n in range(min(limit, 300))]
    assert (len(store), [prompt.id for prompt in store]) == (len(expected), expected)


def test_editing_the_source_changes_nothing_that_is_frozen(ledger: Ledger, tmp_path: Path) -> None:
    path = jsonl(tmp_path, {"id": "a", "prompt": "Hi"})
    freeze(ledger, path)
    path.write_text('{"id": "b", "prompt": "Other"}\n')
    assert list(PromptStore(ledger, "train")) == [plain("a", "Hi")]


def test_the_hash_of_a_set_is_over_ids_texts_roles_and_order(tmp_path: Path) -> None:
    def digest(*rows: Any) -> str:
        return freeze(Ledger(str(tmp_path / uuid.uuid4().hex)), jsonl(tmp_path, *rows))["sha256"]

    a, b = {"id": "a", "prompt": "Hi"}, {"id": "b", "prompt": "Ho"}
    assert digest(a, b) == digest(a, "\n", b)
    others = [
        [b, a],
        [a],
        [{"id": "c", "prompt": "Hi"}, b],
        [{"id": "a", "prompt": "Hi."}, b],
        [{"id": "a", "prompt": [{"role": "system", "content": "Hi"}, {"role": "user", "content": "Hi"}]}, b],
    ]
    assert len({digest(a, b), *(digest(*rows) for rows in others)}) == 6


def test_given_responses_are_read_best_first_from_their_columns(tmp_path: Path) -> None:
    """Text, a list of texts, and TRL's conversational cells, whose last message is the assistant's."""
    said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    path = jsonl(
        tmp_path,
        {"id": "a", "prompt": "Hi", "chosen": said, "rejected": "Go away."},
        {"id": "b", "prompt": "Hi there", "chosen": ["Hello!", "Yes?"], "rejected": "No."},
    )
    settings = config(path)
    found = list(read_prompts(settings.train, settings, "prompts.seed.path", ("chosen", "rejected")))
    assert [prompt.responses for prompt in found] == [("Hello.", "Go away."), ("Hello!", "Yes?", "No.")]


@pytest.mark.parametrize("cell", ["", " ", [], ["good", ""], 3, None, [{"role": "user", "content": "Hi"}], "\ud800"])
def test_a_row_without_a_response_is_refused_with_its_line(tmp_path: Path, cell: Any) -> None:
    path = jsonl(tmp_path, {"id": "a", "prompt": "Hi", "completion": cell})
    settings = config(path)
    with pytest.raises(ConfigError) as error:
        list(read_prompts(settings.train, settings, "prompts.seed.path", ("completion",)))
    assert "line 1" in str(error.value) and "completion" in str(error.value)


def test_a_seed_set_freezes_its_responses_and_hashes_them(ledger: Ledger, tmp_path: Path) -> None:
    one = config(jsonl(tmp_path, {"id": "a", "prompt": "Hi", "completion": "Hello."}))
    frozen = freeze_seed(ledger, one)
    assert [prompt.responses for prompt in PromptStore(ledger, "seed")] == [("Hello.",)]
    other = config(jsonl(tmp_path, {"id": "a", "prompt": "Hi", "completion": "Hello!"}))
    assert freeze_seed(Ledger(str(tmp_path / "other")), other)["sha256"] != frozen["sha256"]


def described(path: Path, *attributes: str) -> PromptsConfig:
    settings = config(path)
    return replace(settings, seed=replace(settings.seed, attributes=attributes))


def test_what_people_say_of_a_response_is_frozen_with_it_and_may_be_missing(ledger: Ledger, tmp_path: Path) -> None:
    row = {"id": "a", "prompt": "Hi", "completion": "Hello.", "helpfulness": 3, "verbosity": None}
    path = jsonl(tmp_path, row, {"id": "b", "prompt": "Ho", "completion": "Hm.", "verbosity": 0.5})
    settings = described(path, "helpfulness", "verbosity")
    frozen = freeze_seed(ledger, settings)
    assert [prompt.labels for prompt in PromptStore(ledger, "seed")] == [(3.0, None), (None, 0.5)]
    other = jsonl(
        tmp_path, {**row, "helpfulness": 4}, {"id": "b", "prompt": "Ho", "completion": "Hm.", "verbosity": 0.5}
    )
    assert freeze_seed(Ledger(str(tmp_path / "other")), described(other, "helpfulness", "verbosity")) != frozen


def test_what_people_say_is_read_from_text_cells(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("id,prompt,completion,helpfulness\na,Hi,Hello.,3\nb,Ho,Hm.,\n")
    freeze_seed(ledger, described(path, "helpfulness"))
    assert [prompt.labels for prompt in PromptStore(ledger, "seed")] == [(3.0,), (None,)]


@pytest.mark.parametrize("cell", ["good", True, [3], {"value": 3}, "nan", "inf", "1e999"])
def test_a_label_that_is_no_number_is_refused_with_its_line(tmp_path: Path, cell: Any) -> None:
    path = jsonl(tmp_path, {"id": "a", "prompt": "Hi", "completion": "Hello.", "helpfulness": cell})
    settings = config(path)
    with pytest.raises(ConfigError, match=r"line 1: column 'helpfulness' .* is no number"):
        list(read_prompts(settings.train, settings, "prompts.seed.path", ("completion",), ("helpfulness",)))


def test_several_responses_in_a_row_cannot_share_what_people_say_of_one(tmp_path: Path) -> None:
    path = jsonl(tmp_path, {"id": "a", "prompt": "Hi", "completion": ["Hello.", "Hey."], "helpfulness": 3})
    settings = config(path)
    with pytest.raises(ConfigError, match=r"line 1: 2 responses, but prompts\.seed\.attributes say something of one"):
        list(read_prompts(settings.train, settings, "prompts.seed.path", ("completion",), ("helpfulness",)))


def test_an_attribute_of_which_no_row_says_anything_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    """A column's name that is spelt wrongly would mask every value."""
    path = jsonl(tmp_path, {"id": "a", "prompt": "Hi", "completion": "Hello.", "helpfulness": 3})
    with pytest.raises(ConfigError, match=r"prompts\.seed\.attributes has helpfullness, but no row"):
        freeze_seed(ledger, described(path, "helpfulness", "helpfullness"))


def test_a_seed_set_that_is_not_named_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    unnamed = SeedSource(path=None, split="train", responses=("completion",))
    settings = replace(config(jsonl(tmp_path, {"id": "a", "prompt": "Hi"})), seed=unnamed)
    with pytest.raises(ConfigError, match=r"prompts\.seed\.path names no file"):
        freeze_seed(ledger, settings)


def test_an_empty_set_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"prompts\.train\.path=.* holds no prompts"):
        freeze(ledger, jsonl(tmp_path, "\n"))


@pytest.mark.parametrize("id_column", ["id", None])
def test_an_id_used_twice_is_refused_with_both_lines(ledger: Ledger, tmp_path: Path, id_column: str | None) -> None:
    """Also across batches of the file, and where ids are hashes: the same prompt twice."""
    rows = [{"id": str(n), "prompt": f"Question {n}?"} for n in range(300)]
    path = jsonl(tmp_path, *rows, rows[7])
    with pytest.raises(ConfigError, match="is used twice") as caught:
        freeze(ledger, path, id_column=id_column)
    assert caught.value.what.startswith(f"{path}, line 301: ") and f"(first: {path}, line 8)" in caught.value.what


CONTENT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(str.strip)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contents=st.lists(CONTENT, min_size=1, max_size=5))
def test_any_text_comes_back_from_a_run_directory_as_it_was_in_the_file(
    contents: Sequence[str], tmp_path: Path
) -> None:
    ledger = Ledger(str(tmp_path / uuid.uuid4().hex))
    freeze(ledger, jsonl(tmp_path, *({"id": n, "prompt": content} for n, content in enumerate(contents))))
    assert list(PromptStore(ledger, "train")) == [plain(str(n), content) for n, content in enumerate(contents)]


def test_terminal_escapes_in_a_columns_name_are_shown(tmp_path: Path) -> None:
    error = refused(jsonl(tmp_path, {"\x1b[31mid": "a", "text\r": "Hi"}))
    assert r"\x1b[31mid" in str(error) and r"text\r" in str(error)
    assert not {"\x1b", "\r"} & {*str(error)}
