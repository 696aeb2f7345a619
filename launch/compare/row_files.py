"""Rows of files, of benchmarks and of other models' responses: .json (a list), .jsonl and .parquet."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...orchestrator.errors import ConfigError

REMEDY = "give the file as it was published, or write one JSON object a line"


def file_rows(path: Path) -> Iterator[tuple[str, Any]]:
    """(place in words, row) for every row of a file.

    Raises:
        ConfigError: the file is missing, of another kind, or cannot be read.
    """
    readers = {".json": _json_rows, ".jsonl": _jsonl_rows, ".parquet": _parquet_rows}
    if path.suffix not in readers:
        raise ConfigError(f"{path} is no .json, .jsonl or .parquet file", REMEDY)
    if not path.is_file():
        raise ConfigError(f"{path} does not exist", f"check the path (working directory: {Path.cwd()})")
    try:
        yield from readers[path.suffix](path)
    except (OSError, UnicodeDecodeError, RecursionError, json.JSONDecodeError, pa.ArrowException) as error:
        raise ConfigError(f"{path} cannot be read: {error}", "check that the file is whole") from error


def _json_rows(path: Path) -> Iterator[tuple[str, Any]]:
    rows = json.loads(path.read_text(encoding="utf-8-sig"))
    if not isinstance(rows, list):
        raise ConfigError(f"{path} holds a {type(rows).__name__}, not a list of rows", REMEDY)
    for number, row in enumerate(rows, 1):
        yield f"{path}, row {number}", row


def _jsonl_rows(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield f"{path}, line {number}", json.loads(line)


def _parquet_rows(path: Path) -> Iterator[tuple[str, Any]]:
    for number, row in enumerate(pq.read_table(path).to_pylist(), 1):
        yield f"{path}, row {number}", row
