"""Rows of a user's file (.jsonl, .csv, .parquet, .json) or of a `datasets` name, each with its place in words, for
errors.

Rows stream through, so memory does not grow with their number; but a .json file, one list, is read whole. What a row
means is the business of `rows`.
"""

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import ConfigError
from .sources import PromptSource

ROWS_PER_BATCH = 256


def source_rows(source: PromptSource, field: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, row) for every row; `where` names file and line for errors.

    Raises:
        ConfigError: the source is missing, of another kind, or cannot be read.
    """
    if source.path is None:
        raise ConfigError(f"{field} has no value", f"set it: {field}=…")
    name, path = source.path, Path(source.path)
    suffix = path.suffix.lower()
    readers = {".jsonl": _jsonl_rows, ".csv": _csv_rows, ".parquet": _parquet_rows, ".json": _json_rows}
    if suffix not in readers:
        if suffix in (".txt", ".tsv", ".gz") or path.exists() or name.startswith(("/", ".", "~")):
            raise ConfigError(
                f"{field}={source.path} is no .jsonl, .csv or .parquet file (nor a .json list)",
                "convert it, or give the name of a data set that `datasets` can load",
            )
        yield from _dataset_rows(name, source.split, field)
        return
    if path.is_dir():
        raise ConfigError(f"{field}={source.path} is a directory", "give a file")
    if not path.is_file():
        raise ConfigError(f"{field}={source.path} does not exist", f"check the path (working directory: {Path.cwd()})")
    try:
        yield from readers[suffix](path)
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


def _json_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not JSON ({error})", "check that the file is whole") from error
    if not isinstance(rows, list):
        raise ConfigError(f"{path} holds a {type(rows).__name__}, not a list of rows", "write a list of objects")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ConfigError(f"{path}, row {number}: a {type(row).__name__}, not an object", "write a list of objects")
        yield f"{path}, row {number}", row


def _csv_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    csv.field_size_limit(sys.maxsize)  # a cell holds a document; the module's own limit is 131,072 characters
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        if twice := [name for name, count in Counter(reader.fieldnames or ()).items() if count > 1]:
            raise ConfigError(f"{path}, line 1: two columns are called {twice[0]!r}", "give every column its own name")
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


def _dataset_rows(name: str, split: str, field: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        import datasets

        rows = datasets.load_dataset(name, split=split)
    except Exception as error:  # whatever the hub's client raises, the user's remedy is the same
        raise ConfigError(
            f"{field}={name} is no file here, and `datasets` could not load it "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})",
            "check the spelling; for a local file give a path that ends in .jsonl, .csv or .parquet",
        ) from error
    for number, row in enumerate(rows, 1):
        yield f"{name}[{split}], row {number}", dict(row)
