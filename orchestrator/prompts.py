"""Prompts: read from the user's files, checked row by row, frozen into the run directory, taken from there.

A run reads its own frozen copy ever after: editing the source file changes nothing that is under way. Rows stream
through, so memory does not grow with their number.
"""

import csv
import hashlib
import json
import math
from array import array
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .errors import ConfigError
from .ledger import Ledger
from .prompts_config import PromptsConfig, PromptSource
from .records import Message, Prompt
from .tables import arrow_schema, from_table, to_table

ROLES = ("system", "user", "assistant")
ROWS_PER_BATCH = 256


def read_prompts(
    source: PromptSource,
    config: PromptsConfig,
    field: str,
    responses: Sequence[str] = (),
    attributes: Sequence[str] = (),
) -> Iterator[Prompt]:
    """Every prompt of a source, in its order.

    Args:
        field: the configuration field that names the source, for errors.
        responses: columns that every row must have its given responses in.
        attributes: columns of what people say of the response.

    Raises:
        ConfigError: the source is missing or unreadable, or a row is malformed (with its line or row number).
    """
    for where, row in _rows(source, field):
        given = tuple(text for column in responses for text in _responses(row, column, where))
        if attributes and len(given) != 1:
            raise ConfigError(
                f"{where}: {len(given)} responses, but prompts.seed.attributes say something of one",
                "write a row for every response, each with its own id",
            )
        labels = tuple(_label(row, column, where) for column in attributes)
        yield replace(_to_prompt(row, config, where), responses=given, labels=labels)


def hashed_prompt(messages: tuple[Message, ...]) -> Prompt:
    """A prompt whose id is a hash of what it says."""
    text = json.dumps([(message.role, message.content) for message in messages])
    return Prompt(id=hashlib.sha256(text.encode()).hexdigest()[:16], messages=messages)


def freeze_prompts(
    ledger: Ledger,
    config: PromptsConfig,
    *,
    field: str,
    source: PromptSource,
    name: str,
    responses: Sequence[str] = (),
    attributes: Sequence[str] = (),
) -> dict[str, Any]:
    """Copy a source's prompts into the run directory as `inputs/NAME.arrow`.

    Returns:
        what `run.yaml` keeps of it: the number of rows and their hash.

    Raises:
        ConfigError: as `read_prompts`, or the set is empty, or two rows share an id.
    """
    digest, ids, count = hashlib.sha256(), array("Q"), 0
    sink = pa.BufferOutputStream() if not ledger.local else None
    ledger.fs.makedirs(ledger.path("inputs"), exist_ok=True)
    target = sink if sink is not None else pa.OSFile(ledger.path("inputs", f"{name}.arrow"), "wb")
    with closing(target), pa.ipc.new_file(target, arrow_schema(Prompt)) as writer:
        batch: list[Prompt] = []
        described: set[str] = set()
        for prompt in read_prompts(source, config, field, responses, attributes):
            count += 1
            content = (prompt.id, [(m.role, m.content) for m in prompt.messages])
            given = tuple(part for part in (prompt.responses, prompt.labels) if part)
            digest.update(repr((*content, *given)).encode())
            described |= {name for name, label in zip(attributes, prompt.labels, strict=True) if label is not None}
            ids.append(_id_hash(prompt.id))
            batch.append(prompt)
            if len(batch) == ROWS_PER_BATCH:
                writer.write_table(to_table(Prompt, batch))
                batch = []
        if batch:
            writer.write_table(to_table(Prompt, batch))
        if count == 0:
            raise ConfigError(f"{field}={source.path} holds no prompts", "give a file with at least one row")
        _check_unique(ids, source, config, field)
        if silent := [name for name in attributes if name not in described]:
            raise ConfigError(
                f"prompts.seed.attributes has {', '.join(silent)}, but no row of {source.path} says anything of it",
                "give the names of columns that hold numbers",
            )
    if sink is not None:
        ledger.write_bytes(sink.getvalue().to_pybytes(), "inputs", f"{name}.arrow")
    return {"source": source.path, "rows": count, "sha256": digest.hexdigest()}


def freeze_seed(ledger: Ledger, config: PromptsConfig) -> dict[str, Any]:
    """`freeze_prompts` of `prompts.seed`, whose rows hold given responses.

    Raises:
        ConfigError: as `freeze_prompts`, or no file is named.
    """
    if config.seed.path is None:
        raise ConfigError(
            "a phase learns from given responses, or learns to judge them, but prompts.seed.path names no file",
            "set prompts.seed.path to a file of prompts with responses, and prompts.seed.responses to their columns",
        )
    return freeze_prompts(
        ledger,
        config,
        field="prompts.seed.path",
        source=PromptSource(path=config.seed.path, split=config.seed.split),
        name="seed",
        responses=config.seed.responses,
        attributes=config.seed.attributes,
    )


class PromptStore:
    """The frozen prompts of a run, or the first `limit` of them. Memory-mapped where the run directory is local."""

    def __init__(self, ledger: Ledger, name: str, limit: int | None = None):
        path = ledger.path("inputs", f"{name}.arrow")
        self._reader = pa.ipc.open_file(pa.memory_map(path) if ledger.local else ledger.fs.open(path, "rb"))
        sizes = [self._reader.get_batch(index).num_rows for index in range(self._reader.num_record_batches)]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._len = min(int(self._starts[-1]), limit) if limit is not None else int(self._starts[-1])

    def __len__(self) -> int:
        return self._len

    def take(self, indices: Sequence[int] | np.ndarray) -> tuple[Prompt, ...]:
        """The prompts at `indices`, in that order."""
        batches = np.searchsorted(self._starts, indices, side="right") - 1
        tables = [
            pa.Table.from_batches([self._reader.get_batch(int(batch)).slice(int(index - self._starts[batch]), 1)])
            for index, batch in zip(indices, batches, strict=True)
        ]
        return tuple(from_table(Prompt, pa.concat_tables(tables))) if tables else ()

    def __iter__(self) -> Iterator[Prompt]:
        for start in range(0, len(self), ROWS_PER_BATCH):
            yield from self.take(range(start, min(start + ROWS_PER_BATCH, len(self))))


def check_disjoint(train: PromptStore, heldout: PromptStore, name: str = "train") -> None:
    """Refuse held-out prompts that are trained on, as part of prompts.`name`.

    Raises:
        ConfigError: naming one shared prompt.
    """
    held = {prompt.messages: prompt.id for prompt in heldout}
    for prompt in train:
        if prompt.messages in held:
            raise ConfigError(
                f"prompts.heldout has a prompt of prompts.{name}: ids {held[prompt.messages]!r} and {prompt.id!r}",
                "take it out of one of them: held-out figures would measure memory",
            )


def _rows(source: PromptSource, field: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, row) for every row; `where` names file and line for errors."""
    path = Path(source.path)
    suffix = path.suffix.lower()
    if suffix not in (".jsonl", ".csv", ".parquet"):
        if suffix in (".json", ".txt", ".tsv", ".gz") or path.exists() or source.path.startswith(("/", ".", "~")):
            raise ConfigError(
                f"{field}={source.path} is no .jsonl, .csv or .parquet file",
                "convert it, or give the name of a data set that `datasets` can load",
            )
        yield from _dataset_rows(source, field)
        return
    if path.is_dir():
        raise ConfigError(f"{field}={source.path} is a directory", "give a file")
    if not path.is_file():
        raise ConfigError(f"{field}={source.path} does not exist", f"check the path (working directory: {Path.cwd()})")
    try:
        reader = {".jsonl": _jsonl_rows, ".csv": _csv_rows, ".parquet": _parquet_rows}[suffix]
        yield from reader(path)
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowInvalid) as error:
        raise ConfigError(f"{field}={source.path} cannot be read: {error}", "check the file's format") from error


def _jsonl_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                what = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
                raise ConfigError(f"{where}: not JSON ({what})", "write one JSON object a line") from error
            if not isinstance(row, dict):
                raise ConfigError(f"{where}: a {type(row).__name__}, not an object", "write one JSON object a line")
            yield where, row


def _csv_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if None in row or None in row.values():
                raise ConfigError(f"{where}: not {len(reader.fieldnames or ())} cells", "quote cells that hold commas")
            yield where, row


def _parquet_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    number = 0
    for batch in pq.ParquetFile(path).iter_batches(batch_size=ROWS_PER_BATCH):
        for row in batch.to_pylist():
            number += 1
            yield f"{path}, row {number}", row


def _dataset_rows(source: PromptSource, field: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        import datasets

        rows = datasets.load_dataset(source.path, split=source.split)
    except Exception as error:  # whatever the hub's client raises, the user's remedy is the same
        raise ConfigError(
            f"{field}={source.path} is no file here, and `datasets` could not load it "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})",
            "check the spelling; for a local file give a path that ends in .jsonl, .csv or .parquet",
        ) from error
    for number, row in enumerate(rows, 1):
        yield f"{source.path}[{source.split}], row {number}", dict(row)


def _to_prompt(row: dict[str, Any], config: PromptsConfig, where: str) -> Prompt:
    value = _cell(row, config.prompt_column, "prompts.prompt_column", where)
    messages = _messages(value, where)
    if config.system is not None and messages[0].role != "system":
        messages = (Message(role="system", content=config.system), *messages)
    if config.id_column is None:
        return hashed_prompt(messages)
    identity = _cell(row, config.id_column, "prompts.id_column", where)
    usable = isinstance(identity, str | int) and not isinstance(identity, bool) and identity != ""
    if not usable or not _is_encodable(str(identity)):
        raise ConfigError(f"{where}: id {identity!r} is neither text nor a whole number", "give every row an id")
    return Prompt(id=str(identity), messages=messages)


def _cell(row: dict[str, Any], column: str, field: str, where: str) -> Any:
    if row.get(column) is None:
        raise ConfigError(
            f"{where}: no column {column!r} ({field}); the row has {', '.join(sorted(map(str, row))) or 'none'}",
            f"set {field} to the column's name"
            + (", or prompts.id_column=null to use hashes of the text" if field == "prompts.id_column" else ""),
        )
    return row[column]


def _messages(value: Any, where: str) -> tuple[Message, ...]:
    """A prompt cell in TRL's plain or conversational format."""
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    if not isinstance(value, list) or not value:
        raise ConfigError(
            f"{where}: the prompt is a {type(value).__name__}",
            'write text, or a list of {"role": …, "content": …} messages',
        )
    for turn in value:
        if not isinstance(turn, dict) or turn.get("role") not in ROLES or not isinstance(turn.get("content"), str):
            raise ConfigError(
                f"{where}: message {turn!r} is malformed",
                f'write {{"role": one of {", ".join(ROLES)}, "content": text}}',
            )
    if not all(turn["content"].strip() for turn in value):
        raise ConfigError(f"{where}: the prompt is empty, or a message of it is", "take the row out")
    if not all(_is_encodable(turn["content"]) for turn in value):
        raise ConfigError(f"{where}: the text holds half a surrogate pair", "write whole characters")
    if value[-1]["role"] != "user":
        raise ConfigError(
            f"{where}: the last message is the {value[-1]['role']}'s", "end every prompt with a user message"
        )
    return tuple(Message(role=turn["role"], content=turn["content"]) for turn in value)


def _responses(row: dict[str, Any], column: str, where: str) -> list[str]:
    """The given responses in a cell: text, a list of texts, or messages of which the last is the assistant's."""
    value = _cell(row, column, "prompts.seed.responses", where)
    if isinstance(value, list) and value and isinstance(value[-1], dict) and value[-1].get("role") == "assistant":
        value = value[-1].get("content")
    texts: list[Any] = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) and text.strip() and _is_encodable(text) for text in texts):
        raise ConfigError(
            f"{where}: column {column!r} holds an empty response, or none",
            "write text, a list of texts, or messages that end with the assistant's",
        )
    return texts


def _label(row: dict[str, Any], column: str, where: str) -> float | None:
    """What people say of the response; None where nobody said. Cells of a .csv file are text."""
    value = row.get(column)
    if value is None or value == "":
        return None
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(
            f"{where}: column {column!r} (prompts.seed.attributes) holds {value!r:.100}, which is no number",
            "write a number, or null where nobody said",
        )
    return number


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _id_hash(identity: str) -> int:
    return int.from_bytes(hashlib.blake2b(identity.encode(), digest_size=8).digest(), "big")


def _check_unique(ids: array, source: PromptSource, config: PromptsConfig, field: str) -> None:
    values, counts = np.unique(np.frombuffer(ids, dtype=np.uint64), return_counts=True)
    repeated = {int(value) for value in values[counts > 1]}
    if not repeated:
        return
    seen: dict[str, str] = {}
    for where, row in _rows(source, field):
        prompt = _to_prompt(row, config, where)
        if _id_hash(prompt.id) in repeated:
            if prompt.id in seen:
                raise ConfigError(
                    f"{where}: prompt id {prompt.id!r} is used twice (first: {seen[prompt.id]})",
                    "give every prompt its own id, and take out repeated prompts",
                )
            seen[prompt.id] = where
