"""What `prompts.format` may be: how rows of data sets as they are published say what is asked and what was answered.

A format turns a row into one with `prompt` and, where the data set has them, `completion`, `chosen` and `rejected`, or
`answers` (best first); its other columns stay. Without a format, and with `columns`, a row is taken as it is.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from ..errors import ConfigError
from .messages import TRANSCRIPTS, respelt, split_transcript, turns_of

Format: TypeAlias = Literal[
    "columns", "alpaca", "conversation", "guanaco", "helpsteer2", "hh", "nectar", "oasst", "orca", "pku", "pku_safer"
]
Row: TypeAlias = dict[str, Any]
Read: TypeAlias = Callable[[Row, str, str], Row | None]  # (row, prompts.prompt_column, its place); None: no prompt

# Columns that go on with the prompt, and such that go before it as the system message.
INPUTS = ("input", "context")
SYSTEMS = ("system", "system_prompt", "system_message")
CONVERSATIONS = ("messages", "conversations", "conversation", "data", "chosen")


def read_columns(row: Row, column: str, where: str) -> Row:
    """A row as it is: every column means what its name in the configuration says."""
    return row


def read_alpaca(row: Row, column: str, where: str) -> Row:
    """Alpaca's and Dolly's: `instruction` (or `prompts.prompt_column`), a blank line, and `input` or `context`.

    Alpaca's `<noinput>` is none. The responses are `completion`.
    """
    asked = _text(row, _first(row, (column, "instruction"), where), where)
    more = [text for text in (_given(row, name) for name in INPUTS) if text and text.casefold() != "<noinput>"]
    return {**row, "prompt": "\n\n".join([asked, *more]), **_completion(row, ("output", "response"))}


def read_orca(row: Row, column: str, where: str) -> Row:
    """Orca's: a `system` message, and `question` or `input` (or `prompts.prompt_column`)."""
    asked = _text(row, _first(row, (column, "question", "input", "instruction"), where), where)
    system = next((text for name in SYSTEMS if (text := _given(row, name))), None)
    before = [{"role": "system", "content": system}] if system else []
    return {**row, "prompt": [*before, {"role": "user", "content": asked}], **_completion(row, ("response",))}


def read_conversation(row: Row, column: str, where: str) -> Row:
    """A whole conversation in one column (`prompts.prompt_column`, or `messages`, `conversations`, `conversation`,
    `data`, `chosen`): ShareGPT, UltraChat, WildChat, Capybara, argilla's and TRL's. What stands before the last
    assistant turn is asked, and that turn is `completion`. A conversation that ends with the user is all asked."""
    for name in (column, *CONVERSATIONS):
        if turns := respelt(turns_of(row.get(name), where)):
            return {**row, **_asked_and_answered(turns, where)}
    raise ConfigError(
        f"{where}: no column holds a list of turns; the row has {', '.join(map(str, row))}",
        "set prompts.prompt_column to the column that does, or choose another format than conversation",
    )


def _read_transcript(format: str) -> Read:
    marks = [mark.strip() for mark in TRANSCRIPTS[format]]

    def read(row: Row, column: str, where: str) -> Row:
        """Transcripts, split at their marks: in `prompts.prompt_column` or `chosen`, and in the responses' columns."""
        name = _first(row, (column, "chosen", "transcript", "text"), where)
        split = {
            name: split_transcript(value, format, where)
            for name, value in ((name, row.get(name)) for name in (name, "chosen", "rejected", "response"))
            if isinstance(value, str) and any(mark in value for mark in marks)
        }
        asked = _asked_and_answered(split[name], where) if name in split else {"prompt": _text(row, name, where)}
        return {**row, **split, **asked}

    return read


def read_nectar(row: Row, column: str, where: str) -> Row:
    """Nectar's: a transcript in `prompt`, and ranked `answers`, best first; of the first and the last, `chosen` and
    `rejected`."""
    turns = split_transcript(_text(row, _first(row, (column,), where), where), "hh", where)
    answers = row.get("answers")
    if not isinstance(answers, list) or not all(isinstance(a, dict) and "rank" in a for a in answers):
        raise ConfigError(f"{where}: no ranked answers", "give Nectar's rows, or choose another format than nectar")
    ranks = [answer["rank"] for answer in answers]
    if not all(isinstance(rank, int | float) for rank in ranks) or len({*ranks}) < len(ranks) or len(ranks) < 2:
        raise ConfigError(f"{where}: the answers' ranks are {ranks!r:.80}, no order", "take the row out")
    texts = [answer.get("answer") for answer in sorted(answers, key=lambda answer: answer["rank"])]
    asked = _asked_and_answered(turns, where)["prompt"]
    return {**row, "prompt": asked, "answers": texts, "chosen": texts[0], "rejected": texts[-1]}


def _read_pku(by: str) -> Read:
    def read(row: Row, column: str, where: str) -> Row:
        """PKU-SafeRLHF's: `response_0` and `response_1`, the better (or the safer) of which is `chosen`."""
        better = {"0": 0, "1": 1}.get(str(row.get(by)))
        if better is None:
            raise ConfigError(f"{where}: column {by!r} is {row.get(by)!r:.40}, neither 0 nor 1", "take the row out")
        chosen, rejected = (row.get(f"response_{index}") for index in (better, 1 - better))
        return {**row, "prompt": row.get(_first(row, (column,), where)), "chosen": chosen, "rejected": rejected}

    return read


def read_oasst(row: Row, column: str, where: str) -> Row | None:
    """OASST's: one message a row, of which those that begin a tree are prompts. Rows of other messages, and deleted
    ones, are passed over."""
    if "parent_id" not in row or "role" not in row:
        raise ConfigError(
            f"{where}: no columns 'parent_id' and 'role'", "give OASST's messages, or choose another format than oasst"
        )
    if row["parent_id"] not in (None, "") or row["role"] != "prompter" or row.get("deleted") in (True, "True"):
        return None
    return {**row, "prompt": _text(row, "text", where)}


FORMATS: Mapping[str, Read] = {
    "columns": read_columns,
    "alpaca": read_alpaca,
    "conversation": read_conversation,
    "nectar": read_nectar,
    "oasst": read_oasst,
    "orca": read_orca,
    "pku": _read_pku("better_response_id"),
    "pku_safer": _read_pku("safer_response_id"),
    **{format: _read_transcript(format) for format in TRANSCRIPTS},
}


def _asked_and_answered(turns: list[dict[str, Any]], where: str) -> Row:
    """`prompt` and `completion` of a conversation; no `completion` where nobody answers last."""
    while turns and turns[-1]["role"] == "assistant" and not str(turns[-1]["content"] or "").strip():
        turns = turns[:-1]
    if turns and turns[-1]["role"] == "user":
        return {"prompt": turns}
    if len(turns) < 2 or turns[-1]["role"] != "assistant":
        raise ConfigError(f"{where}: the conversation asks nothing", "take the row out")
    return {"prompt": turns[:-1], "completion": turns[-1]["content"]}


def _completion(row: Row, names: tuple[str, ...]) -> Row:
    """The first of some columns that the row has, as the response."""
    return next(({"completion": row[name]} for name in names if row.get(name) is not None), {})


def _first(row: Row, names: tuple[str, ...], where: str) -> str:
    """The first of some columns that the row has."""
    found = next((name for name in names if row.get(name) is not None), None)
    if found is None:
        raise ConfigError(
            f"{where}: none of the columns {', '.join(dict.fromkeys(names))}; the row has {', '.join(map(str, row))}",
            "set prompts.prompt_column to the column that holds what is asked",
        )
    return found


def _text(row: Row, name: str, where: str) -> str:
    if not isinstance(row.get(name), str):
        raise ConfigError(
            f"{where}: column {name!r} holds a {type(row.get(name)).__name__}, not text", "choose another format"
        )
    return row[name]


def _given(row: Row, name: str) -> str:
    """The text of a column that may be missing, empty or null."""
    value = row.get(name)
    return value.strip() if isinstance(value, str) else ""
