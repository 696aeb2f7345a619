"""Rows of a user's file (.jsonl, .csv, .parquet) or of a `datasets` name, each with its place in words, for errors.

Rows stream through, so memory does not grow with their number. What a row means is the business of `rows`.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import ConfigError
from ..prompts_config import PromptSource

ROWS_PER_BATCH = 256


def source_rows(source: PromptSource, field: str) -> Iterator[tuple[str, dict[str, Any]]]:
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
