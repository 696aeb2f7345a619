"""The lines of metrics.jsonl: one JSON object each, with its round and stage."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from ..errors import DamagedFile
from .checksums import bytes_hash

MetricsLine: TypeAlias = tuple[str, dict[str, Any]]  # the text, and what it says


def line_of(row: dict[str, Any]) -> str:
    """A row as its line."""
    return json.dumps(row, sort_keys=True, allow_nan=False) + "\n"


def metrics_lines(data: bytes, path: str) -> list[MetricsLine]:
    """Every line. What a crash left half written at the end is left out.

    Raises:
        DamagedFile: a line before the last whole one is no row.
    """
    lines = [(line, _row(line)) for line in data.decode(errors="replace").splitlines()]
    while lines and lines[-1][1] is None:
        lines.pop()
    for number, (_, row) in enumerate(lines, 1):
        if row is None:
            raise DamagedFile.at(path, f"line {number} is no row of metrics")
    return [(line, row) for line, row in lines if row is not None]


def text_of(lines: Iterable[MetricsLine]) -> bytes:
    """Lines as the file that holds them."""
    return "".join(f"{line}\n" for line, _ in lines).encode()


def rows_hash(lines: Sequence[MetricsLine], round: int) -> str:
    """A hash over a round's lines, in order."""
    return bytes_hash(text_of((line, row) for line, row in lines if row["round"] == round))


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and {"round", "stage"} <= row.keys() else None
