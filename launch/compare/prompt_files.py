"""Files that say something of a run's held-out prompts: the responses of a model from elsewhere, or difficulties.

A row names its prompt by `instruction`, the text of the user's only turn (AlpacaEval's word), or by `id`. Every prompt
that is asked about has exactly one row. What files hold is data: it is read, compared and shown to a judge, no more.
"""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ...orchestrator.data.records import Message, Prompt, Rollout
from ...orchestrator.errors import ConfigError
from ...recipes.evaluation.length_controlled import GamedRow
from ...recipes.judges.rendering import shown_response
from .row_files import file_rows

SUFFIXES = (".json", ".jsonl", ".parquet")

Placed: TypeAlias = tuple[str, Mapping[str, Any]]  # a row, with its place in words


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputsFile:
    """A model's responses to held-out prompts, by what was asked. `unused` rows answer none of these prompts.

    Example:
        OutputsFile(name="gpt4.json", responses={prompt.messages: (prompt, rollout)}, unused=0)
    """

    name: str
    responses: Mapping[tuple[Message, ...], tuple[Prompt, Rollout]]
    unused: int


def read_outputs(path: Path, prompts: Sequence[Prompt]) -> OutputsFile:
    """The response (`output` or `response`) to each of `prompts`. It may be empty; whether it was cut nobody knows.

    Raises:
        ConfigError: the file cannot be read, a row is malformed, or a prompt has no row or several.
    """
    rows, unused = _rows_of(path, prompts)
    responses = {
        prompt.messages: (prompt, shown_response(prompt, 0, _response(*rows[prompt.id]))) for prompt in prompts
    }
    return OutputsFile(name=str(path), responses=responses, unused=unused)


def read_difficulties(path: Path, prompts: Sequence[Prompt]) -> dict[str, float]:
    """The `difficulty` of each of `prompts`, by its id.

    Raises:
        ConfigError: as `read_outputs`.
    """
    rows, _ = _rows_of(path, prompts)
    return {identity: _difficulty(*placed) for identity, placed in rows.items()}


def read_gamed(path: Path) -> list[GamedRow]:
    """The rows of gamed baselines, of a file as AlpacaEval publishes it (.csv), or one of rows with the same names:
    `preference` (from 0 to 1), `std_delta_len` and `instruction_difficulty`.

    Raises:
        ConfigError: the file cannot be read, holds no row, or a value is none.
    """
    rows = [
        GamedRow(
            preference=_finite(where, row, "preference", 0.0, 1.0),
            std_delta_len=_finite(where, row, "std_delta_len"),
            difficulty=_finite(where, row, "instruction_difficulty"),
        )
        for where, row in (_csv_rows(path) if path.suffix == ".csv" else file_rows(path))
    ]
    if not rows:
        raise ConfigError(f"{path} holds no row", "give AlpacaEval's file of gamed baselines, or leave it out")
    return rows


def _csv_rows(path: Path) -> Iterator[Placed]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            for row in reader:
                yield f"{path}:{reader.line_num}", row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read: {error}", "check that the file is whole") from error


def _finite(where: str, row: Any, name: str, low: float = -math.inf, high: float = math.inf) -> float:
    value = row.get(name) if isinstance(row, Mapping) else None
    try:
        number = math.nan if isinstance(value, bool) or value is None else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and low <= number <= high):
        limits = f" from {low:g} to {high:g}" if math.isfinite(low) else ""
        raise ConfigError(f"{where}: {name} is {value!r:.60}, no number{limits}", "give every row one")
    return number


def _rows_of(path: Path, prompts: Sequence[Prompt]) -> tuple[dict[str, Placed], int]:
    """The row of every prompt, by the prompt's id; and how many rows name none of them."""
    by_name = _names(prompts)
    found: dict[str, Placed] = {}
    repeated: list[str] = []
    unused = 0
    for where, row in file_rows(path):
        named = by_name.get(_name(where, row), [])
        if len(named) > 1:
            raise ConfigError(
                f"{where}: {len(named)} held-out prompts have this instruction, the first {named[0]!r}",
                "name prompts by their id",
            )
        for identity in named:
            if identity in found:
                repeated.append(f"{where}, on prompt {identity!r} (first: {found[identity][0]})")
            found.setdefault(identity, (where, row))
        unused += not named
    if repeated:
        raise ConfigError(
            f"{path}: {len(repeated)} rows are on a prompt that has one already, the first: {repeated[0]}",
            "keep one row a prompt",
        )
    if missing := [prompt for prompt in prompts if prompt.id not in found]:
        raise ConfigError(
            f"{path} has no row on {len(missing)} of {len(prompts)} held-out prompts, the first: {missing[0].id!r} "
            f"({missing[0].messages[-1].content!r:.100}); {unused} of its rows are on other prompts",
            "give every prompt a row with its id, or with exactly its text as instruction",
        )
    return found, unused


def _names(prompts: Sequence[Prompt]) -> dict[tuple[str, str], list[str]]:
    """Prompts' ids, by how a row may name them: conversations of several turns by their id alone."""
    by_name: dict[tuple[str, str], list[str]] = {}
    for prompt in prompts:
        by_name.setdefault(("id", prompt.id), []).append(prompt.id)
        turns = [message for message in prompt.messages if message.role != "system"]
        if len(turns) == 1:
            by_name.setdefault(("instruction", turns[0].content), []).append(prompt.id)
    return by_name


def _name(where: str, row: Any) -> tuple[str, str]:
    if not isinstance(row, Mapping):
        raise ConfigError(f"{where}: a {type(row).__name__}, not an object", "write one JSON object a row")
    for column, kinds in (("instruction", str), ("id", str | int)):
        if isinstance(value := row.get(column), kinds) and not isinstance(value, bool):
            return column, str(value)
    raise ConfigError(
        f"{where} names no prompt", "give the row an instruction (text), or an id (text or a whole number)"
    )


def _response(where: str, row: Mapping[str, Any]) -> str:
    values = [row[column] for column in ("output", "response") if column in row]
    if len(values) != 1 or not isinstance(values[0], str):
        raise ConfigError(f"{where} has no response that is text", "give the row one: output or response")
    try:
        values[0].encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{where}: the response holds half a surrogate pair", "write whole characters") from error
    return values[0]


def _difficulty(where: str, row: Mapping[str, Any]) -> float:
    value = row.get("difficulty")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"{where}: the difficulty is {value!r:.60}, no finite number", "give every row one")
    return float(value)
