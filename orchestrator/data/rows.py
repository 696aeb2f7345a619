"""A row of a user's file as a prompt: its messages, its id, its given responses and what people say of them."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import ConfigError
from .files import source_rows
from .formats import FORMATS, Row
from .messages import as_messages, is_encodable, is_turns, merged_history, turns_of
from .records import Message, Prompt
from .shapes import check_plain, of_source, shape_of
from .sources import PromptsConfig, PromptSource


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How a source's rows are read. For errors, `keys` is what the source's keys begin with, and `of` has the keys that
    its columns are from.

    Example:
        Reading(prompt_column="prompt", id_column=None, format=None, system=None, responses=("chosen", "rejected"),
                attributes=(), keys="prompts.seed", of={"prompt_column": "prompts.prompt_column", …})
    """

    prompt_column: str
    id_column: str | None
    format: str | None
    system: str | None
    responses: Sequence[str]
    attributes: Sequence[str]
    keys: str
    of: dict[str, str]


def reading_of(
    source: PromptSource, config: PromptsConfig, field: str, responses: Sequence[str], attributes: Sequence[str]
) -> Reading:
    """A source's own columns and format, and where it has none those of all prompts."""
    values: dict[str, Any] = {}
    of: dict[str, str] = {}
    keys = field.removesuffix(".path").removesuffix(".train")
    for key in ("prompt_column", "id_column", "format"):
        own = getattr(source, key)
        values[key] = getattr(config, key) if own is None else own
        of[key] = f"prompts.{key}" if own is None else f"{field.removesuffix('.path')}.{key}"
    return Reading(**values, keys=keys, of=of, system=config.system, responses=responses, attributes=attributes)


def placed_prompts(
    source: PromptSource,
    config: PromptsConfig,
    field: str,
    responses: Sequence[str] = (),
    attributes: Sequence[str] = (),
    dropped: Callable[[ConfigError], None] = lambda error: None,
) -> Iterator[tuple[str, Prompt]]:
    """(place in words, prompt) for every row of a source, in its order.

    A prompt with given responses and without an id column may come again with other responses: the id of the first is
    that of its messages, and those of the others are of their responses too.

    Args:
        field: the configuration field that names the source, for errors.
        responses: columns that every row must have its given responses in.
        attributes: columns of what people say of the response.
        dropped: told of every malformed row that `prompts.malformed=drop` leaves out.

    Raises:
        ConfigError: the source is missing or unreadable, or a row is malformed (with its line or row number); or every
            row is.
    """
    reading = reading_of(source, config, field, responses, attributes)
    seen: set[bytes] = set()
    first_drop: ConfigError | None = None
    kept = 0
    for where, row in source_rows(source, field):
        if reading.format is None:
            check_plain(row, reading.prompt_column, responses, where, reading.keys)
        try:
            prompt = read_row(row, reading, where)
        except ConfigError as error:
            if config.malformed == "refuse":
                raise
            first_drop = first_drop or error
            dropped(error)
            continue
        if prompt is None:
            continue
        if responses and reading.id_column is None:
            prompt = _told_apart(prompt, seen)
        kept += 1
        yield where, prompt
    if not kept and first_drop:
        raise first_drop


def read_prompts(
    source: PromptSource,
    config: PromptsConfig,
    field: str,
    responses: Sequence[str] = (),
    attributes: Sequence[str] = (),
) -> Iterator[Prompt]:
    """`placed_prompts` without their places."""
    return (prompt for _, prompt in placed_prompts(source, config, field, responses, attributes))


def hashed_prompt(messages: tuple[Message, ...]) -> Prompt:
    """A prompt whose id is a hash of what it says."""
    return Prompt(id=_hash([(message.role, message.content) for message in messages]), messages=messages)


def read_row(row: Row, reading: Reading, where: str) -> Prompt | None:
    """A row as a prompt; None of one that its format passes over.

    Raises:
        ConfigError: the row is malformed.
    """
    column = reading.prompt_column
    if reading.format is not None and reading.format != "columns":
        made = FORMATS[reading.format](row, column, where)
        if made is None:
            return None
        row, column = made, "prompt"
    answers = [_answers(row, name, where) for name in reading.responses]
    histories = [(history, name) for (history, _), name in zip(answers, reading.responses, strict=True)]
    own = None
    if column in row or not any(history for history, _ in histories):
        own = as_messages(turns_of(_cell(row, column, reading.of["prompt_column"], where, reading.keys), where), where)
    messages = merged_history(own, histories, where)
    if messages[-1].role != "user":
        raise ConfigError(
            f"{where}: the last message is the {messages[-1].role}'s",
            "end every prompt with a user message, or set prompts.format=conversation to ask what stands before it",
        )
    if reading.system is not None and messages[0].role != "system":
        messages = (Message(role="system", content=reading.system), *messages)
    given = tuple(text for _, texts in answers for text in texts)
    if reading.attributes and len(given) != 1:
        raise ConfigError(
            f"{where}: {len(given)} responses, but prompts.seed.attributes say something of one",
            "write a row for every response, each with its own id",
        )
    labels = tuple(_label(row, name, where) for name in reading.attributes)
    return replace(_identified(messages, row, reading, where), responses=given, labels=labels)


def _identified(messages: tuple[Message, ...], row: Row, reading: Reading, where: str) -> Prompt:
    if reading.id_column is None:
        return hashed_prompt(messages)
    identity = _cell(row, reading.id_column, reading.of["id_column"], where, reading.keys)
    usable = isinstance(identity, str | int) and not isinstance(identity, bool) and identity != ""
    if not usable or not is_encodable(str(identity)):
        raise ConfigError(f"{where}: id {identity!r} is neither text nor a whole number", "give every row an id")
    return Prompt(id=str(identity), messages=messages)


def _told_apart(prompt: Prompt, seen: set[bytes]) -> Prompt:
    """The prompt, by another id where its messages came before with other responses. The same row again keeps its id,
    which is then used twice."""
    said = [(message.role, message.content) for message in prompt.messages]
    row = _hash([said, prompt.responses])
    again, same = prompt.id.encode() in seen, row.encode() in seen
    seen.update((prompt.id.encode(), row.encode()))
    return replace(prompt, id=row) if again and not same else prompt


def _cell(row: Row, column: str, field: str, where: str, keys: str) -> Any:
    if column not in row:
        shape = shape_of(row)
        raise ConfigError(
            f"{where}: no column {column!r} ({field}); the row has {', '.join(sorted(map(str, row))) or 'none'}"
            + (f" (these are the columns of {shape.name})" if shape else ""),
            (
                of_source(shape.remedy, keys)
                if shape and "id_column" not in field
                else f"set {field} to the column's name"
            )
            + (f", or {field}=null to use hashes of the text" if "id_column" in field else ""),
        )
    if row[column] is None:
        raise ConfigError(f"{where}: the cell of column {column!r} ({field}) is null", "fill it, or take the row out")
    return row[column]


def _answers(row: Row, column: str, where: str) -> tuple[tuple[Message, ...], list[str]]:
    """The given responses in a cell, and what stands before them there: text, a list of texts, or messages of which the
    last is the assistant's."""
    value = turns_of(_cell(row, column, "prompts.seed.responses", where, "prompts.seed"), where)
    if is_turns(value):
        *before, last = value
        if last["role"] != "assistant":
            raise ConfigError(
                f"{where}: the conversation in column {column!r} ends with the {last['role']}'s message",
                "end it with the assistant's: that is the response",
            )
        return (as_messages(before, where) if before else ()), [_response(last.get("content"), column, where)]
    texts: list[Any] = value if isinstance(value, list) else [value]
    if not texts:
        raise ConfigError(f"{where}: column {column!r} holds an empty list of responses", "take the row out")
    return (), [_response(text, column, where) for text in texts]


def _response(text: Any, column: str, where: str) -> str:
    if not isinstance(text, str):
        kind = "nothing (null)" if text is None else f"a {type(text).__name__} ({text!r:.60})"
        raise ConfigError(
            f"{where}: a response in column {column!r} is {kind}, not text",
            "write text, a list of texts, or messages that end with the assistant's",
        )
    if not text.strip():
        raise ConfigError(f"{where}: column {column!r} holds an empty response", "write one, or take the row out")
    if not is_encodable(text):
        raise ConfigError(
            f"{where}: the response in column {column!r} holds half a surrogate pair", "write whole characters"
        )
    return text


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


def _hash(said: Any) -> str:
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]
