"""A row of a user's file as a prompt: its messages, its id, its given responses and what people say of them."""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ..errors import ConfigError
from ..prompts_config import PromptsConfig, PromptSource
from ..records import Message, Prompt
from .files import source_rows

ROLES = ("system", "user", "assistant")


def placed_prompts(
    source: PromptSource,
    config: PromptsConfig,
    field: str,
    responses: Sequence[str] = (),
    attributes: Sequence[str] = (),
) -> Iterator[tuple[str, Prompt]]:
    """(place in words, prompt) for every row of a source, in its order.

    Args:
        field: the configuration field that names the source, for errors.
        responses: columns that every row must have its given responses in.
        attributes: columns of what people say of the response.

    Raises:
        ConfigError: the source is missing or unreadable, or a row is malformed (with its line or row number).
    """
    for where, row in source_rows(source, field):
        given = tuple(text for column in responses for text in _responses(row, column, where))
        if attributes and len(given) != 1:
            raise ConfigError(
                f"{where}: {len(given)} responses, but prompts.seed.attributes say something of one",
                "write a row for every response, each with its own id",
            )
        labels = tuple(_label(row, column, where) for column in attributes)
        yield where, replace(_to_prompt(row, config, where), responses=given, labels=labels)


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
    text = json.dumps([(message.role, message.content) for message in messages])
    return Prompt(id=hashlib.sha256(text.encode()).hexdigest()[:16], messages=messages)


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
