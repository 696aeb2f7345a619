"""Conversations as users' files hold them, as messages: lists of turns in several spellings, the same lists as text,
and transcripts whose turns begin with a mark."""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ConfigError
from .records import Message

ROLES = ("system", "user", "assistant")
# Who speaks, by how data sets spell it: ShareGPT's `from`, OASST's `role`.
SPEAKERS = {
    "system": "system",
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bard": "assistant", "bing": "assistant",
}  # fmt: skip
# The marks that begin a turn in a transcript, and whose turn it is; by `prompts.format`.
TRANSCRIPTS: Mapping[str, Mapping[str, str]] = {
    "hh": {"\n\nHuman:": "user", "\n\nAssistant:": "assistant"},
    "guanaco": {"### Human:": "user", "### Assistant:": "assistant"},
    "helpsteer2": {"<extra_id_1>User\n": "user", "<extra_id_1>Assistant\n": "assistant"},
}
_LIST_OF_TURNS = re.compile(r"\s*\[\s*\{\s*['\"](?:role|content|from|value)['\"]\s*:")


def transcript_format(text: str) -> str | None:
    """The `prompts.format` that splits a text, if it is a transcript and not a single turn.

    Example:
        >>> transcript_format("\\n\\nHuman: Hi\\n\\nAssistant: Hello."), transcript_format("Who is Human: a film?")
        ('hh', None)
    """
    if text.startswith("\n\nHuman:") or ("\n\nHuman:" in f"\n\n{text}" and "\n\nAssistant:" in text):
        return "hh"
    if text.startswith("### Human:") or ("### Human:" in text and "### Assistant:" in text):
        return "guanaco"
    return "helpsteer2" if "<extra_id_1>User" in text or "<extra_id_1>Assistant" in text else None


def split_transcript(text: str, format: str, where: str) -> list[dict[str, str]]:
    """The turns of a transcript; white space around a turn is the transcript's. A last turn may be empty: it is what a
    model is to write. HelpSteer2's first turn has no mark.

    Raises:
        ConfigError: the text begins with no mark, or has an empty turn before the last.

    Example:
        >>> split_transcript("\\n\\nHuman: Hi\\n\\nAssistant: Hello.", "hh", "x.jsonl, line 1")
        [{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Hello.'}]
    """
    marks = TRANSCRIPTS[format]
    parts = re.split(f"({'|'.join(map(re.escape, marks))})", text if format != "hh" else f"\n\n{text.lstrip()}")
    first, rest = parts[0].strip(), parts[1:]
    if first and format != "helpsteer2":
        raise ConfigError(
            f"{where}: the text begins with {first!r:.60}, not with {' or '.join(map(repr, marks))}",
            f"take the row out, or choose another format than {format}",
        )
    turns = [{"role": "user", "content": first}] if first else []
    turns += [
        {"role": marks[mark], "content": content.strip()} for mark, content in zip(rest[::2], rest[1::2], strict=True)
    ]
    if any(not turn["content"] for turn in turns[:-1]):
        raise ConfigError(f"{where}: a turn of the transcript is empty", "take the row out")
    return turns


def turns_of(value: Any, where: str) -> Any:
    """A cell that holds a list of turns, spelt as one of {"role", "content"}; any other cell as it is.

    Text that writes out such a list, as JSON or as Python prints it (cells of a .csv file, or JSON within JSON), is
    parsed.

    Raises:
        ConfigError: the text begins as such a list does and is none.
    """
    if not isinstance(value, str) or not _LIST_OF_TURNS.match(value):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise ConfigError(
            f"{where}: a cell begins as a list of messages does, but cannot be read as one: {value!r:.100}",
            "write the list as JSON, or the conversation in a .jsonl or .parquet file",
        ) from error


def is_turns(value: Any) -> bool:
    """Whether a cell is a list of {"role", "content"} turns, well formed or not."""
    return isinstance(value, list) and bool(value) and all(isinstance(turn, dict) and "role" in turn for turn in value)


def respelt(value: Any) -> list[dict[str, Any]] | None:
    """A conversation in another spelling as {"role", "content"} turns; None of a cell that is none.

    ShareGPT's {"from", "value"}, Capybara's {"input", "output"}, UltraChat's texts in turn, and {"role", "content"}.
    Empty turns at the end are left out: nobody said anything.

    Example:
        >>> respelt([{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}])
        [{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Hello.'}]
    """
    if not isinstance(value, list) or not value:
        return None
    turns: list[dict[str, Any]] = []
    for index, turn in enumerate(value):
        if isinstance(turn, str):
            turns.append({"role": ("user", "assistant")[index % 2], "content": turn})
        elif not isinstance(turn, dict):
            return None
        elif "from" in turn:
            turns.append({"role": SPEAKERS.get(str(turn["from"]), turn["from"]), "content": turn.get("value")})
        elif "role" in turn:
            turns.append({"role": SPEAKERS.get(str(turn["role"]), turn["role"]), "content": turn.get("content")})
        elif "input" in turn and "output" in turn:
            turns += [{"role": "user", "content": turn["input"]}, {"role": "assistant", "content": turn["output"]}]
        else:
            return None
    while turns and isinstance(turns[-1]["content"], str) and not turns[-1]["content"].strip():
        turns.pop()
    return turns


def as_messages(value: Any, where: str) -> tuple[Message, ...]:
    """A prompt cell in TRL's plain or conversational format. The last message may be anybody's.

    Raises:
        ConfigError: it is neither, or a message is malformed or empty.
    """
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    if not isinstance(value, list) or not value:
        raise ConfigError(
            f"{where}: the prompt is a {type(value).__name__}",
            'write text, or a list of {"role": …, "content": …} messages',
        )
    for turn in value:
        if not isinstance(turn, dict) or turn.get("role") not in ROLES or not isinstance(turn.get("content"), str):
            other = respelt(value) is not None and not is_turns(value)
            raise ConfigError(
                f"{where}: message {turn!r:.200} is malformed",
                f'write {{"role": one of {", ".join(ROLES)}, "content": text}}'
                + (", or set prompts.format=conversation" if other else ""),
            )
        if turn.get("tool_calls"):
            raise ConfigError(f"{where}: a message calls tools, which no prompt here can", "take the row out")
    if not all(turn["content"].strip() for turn in value):
        raise ConfigError(f"{where}: the prompt is empty, or a message of it is", "take the row out")
    if not all(is_encodable(turn["content"]) for turn in value):
        raise ConfigError(f"{where}: the text holds half a surrogate pair", "write whole characters")
    return tuple(Message(role=turn["role"], content=turn["content"]) for turn in value)


def merged_history(
    prompt: tuple[Message, ...] | None, histories: Sequence[tuple[tuple[Message, ...], str]], where: str
) -> tuple[Message, ...]:
    """What is asked, of a prompt and of what stands before the answers in conversations that hold both.

    They agree where one is a beginning or an end of the other, system messages and white space around texts aside:
    `prompt` is often the first or the last question alone. What is asked is the one that says more.

    Args:
        histories: each with the column that it is from.

    Raises:
        ConfigError: two histories differ, the prompt agrees with none, or there is neither.
    """
    said = [(history, column) for history, column in histories if history]
    for history, column in said[1:]:
        if _texts(history) != _texts(said[0][0]):
            raise ConfigError(
                f"{where}: the conversations in columns {said[0][1]!r} and {column!r} differ before their last answers",
                "take the row out: a pair's responses answer one prompt",
            )
    if not said:
        if prompt is None:
            raise ConfigError(f"{where}: the row says nowhere what is asked", "give it a prompt")
        return prompt
    history, column = said[0]
    if prompt is None:
        return history
    own, other = (_texts(message for message in part if message.role != "system") for part in (prompt, history))
    systems = [[message.content.strip() for message in part if message.role == "system"] for part in (prompt, history)]
    less, more = sorted((own, other), key=len)
    agrees = not less or less in (more[: len(less)], more[-len(less) :])
    if not agrees or (all(systems) and systems[0] != systems[1]):
        raise ConfigError(
            f"{where}: the prompt ({prompt[-1].content!r:.60}) is not what the conversation in column {column!r} "
            f"answers ({history[-1].content!r:.60})",
            "mend the row, or set prompts.prompt_column to the column that it answers",
        )
    if len(own) > len(other) or (own == other and (systems[0] or not systems[1])):
        return prompt
    return history if systems[1] else (*(message for message in prompt if message.role == "system"), *history)


def is_encodable(text: str) -> bool:
    """Whether the text is whole: no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _texts(messages: Any) -> list[tuple[str, str]]:
    return [(message.role, message.content.strip()) for message in messages]
