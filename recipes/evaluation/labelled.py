"""Pairs of responses with a label, as four benchmarks of judges publish them: rows in, one kind of record out.

Files are read elsewhere. A row that does not fit is an error with its place, never a guess.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from ...orchestrator.errors import ConfigError
from ...orchestrator.seeds import derive_seed
from .comparisons import Verdict

Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledPair:
    """A prompt, two responses, and which is the better one. `subset` is the part of the benchmark it belongs to.

    Example:
        LabelledPair(prompt="Name a prime.", a="7", b="8", label="a")
    """

    prompt: str
    a: str
    b: str
    label: Verdict
    subset: str = ""


def read_labelled(rows: Iterable[tuple[str, Any]], format: str) -> list[LabelledPair]:
    """The pairs in `rows`, each of which comes with its place in words.

    Raises:
        ConfigError: a row does not fit the format, or there is none.
    """
    pairs = []
    for where, row in rows:
        if not isinstance(row, Mapping):
            raise _misfit(where, f"a {type(row).__name__}, not an object", format)
        try:
            pairs.append(FORMATS[format](row))
        except _MisfitError as error:
            raise _misfit(where, str(error), format) from error
    if not pairs:
        raise ConfigError("the file holds no pairs", "give a file with at least one row")
    return pairs


def _pandalm(row: Row) -> LabelledPair:
    """PandaLM's test set (arXiv 2306.05087): the majority of three annotators, 0 a tie. Where all three differ, the
    first one's label, as its own script has it. An absent `input` is NaN there."""
    votes = [_one_of(row, f"annotator{number}", {0: "tie", 1: "a", 2: "b"}) for number in (1, 2, 3)]
    given = row.get("input")
    more = "" if given is None or (isinstance(given, float) and math.isnan(given)) else _text(row, "input", empty=True)
    instruction = _text(row, "instruction")
    return LabelledPair(
        prompt=f"{instruction}\n\n{more}" if more else instruction,
        a=_text(row, "response1", empty=True),
        b=_text(row, "response2", empty=True),
        label=Counter(votes).most_common(1)[0][0],
    )


def _llmbar(row: Row) -> LabelledPair:
    """LLMBar (arXiv 2310.07641): one output follows the instruction, the other does not."""
    return LabelledPair(
        prompt=_text(row, "input"),
        a=_text(row, "output_1", empty=True),
        b=_text(row, "output_2", empty=True),
        label=_one_of(row, "label", {1: "a", 2: "b"}),
    )


def _mt_bench(row: Row) -> LabelledPair:
    """MT-bench's human judgments (arXiv 2306.05685), one row a vote. The conversations part after the first question:
    a judgment of the second turn is about all that follows it, turns named by their roles."""
    turn = _one_of(row, "turn", {1: 1, 2: 2})
    question, a = _conversation(row, "conversation_a", turn)
    other, b = _conversation(row, "conversation_b", turn)
    if question != other:
        raise _MisfitError("conversation_a and conversation_b begin with different questions")
    winner = _text(row, "winner")
    label = "tie" if winner.startswith("tie") else _one_of(row, "winner", {"model_a": "a", "model_b": "b"})
    return LabelledPair(prompt=question, a=a, b=b, label=label, subset=f"turn {turn}")


def _rewardbench(row: Row) -> LabelledPair:
    """RewardBench (arXiv 2403.13787). Which of the two is a is drawn by the pair's texts: with the chosen one always in
    the same place, chance would agree always."""
    prompt, chosen, rejected = (
        _text(row, "prompt"),
        _text(row, "chosen", empty=True),
        _text(row, "rejected", empty=True),
    )
    subset = _text(row, "subset")
    if derive_seed("side", prompt, chosen, rejected) % 2:
        return LabelledPair(prompt=prompt, a=rejected, b=chosen, label="b", subset=subset)
    return LabelledPair(prompt=prompt, a=chosen, b=rejected, label="a", subset=subset)


FORMATS: dict[str, Callable[[Row], LabelledPair]] = {
    "pandalm": _pandalm,
    "llmbar": _llmbar,
    "mt_bench": _mt_bench,
    "rewardbench": _rewardbench,
}


class _MisfitError(Exception):
    """What is wrong with a row."""


def _misfit(where: str, what: str, format: str) -> ConfigError:
    return ConfigError(
        f"{where}: {what}", f"check that the file is in the format {format!r}; known: {', '.join(sorted(FORMATS))}"
    )


def _text(row: Row, name: str, *, empty: bool = False) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not (value.strip() or empty):
        raise _MisfitError(f"{name!r} is {_shown(row, name)}, not text")
    return value


def _one_of(row: Row, name: str, meanings: Mapping[Any, Any]) -> Any:
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | str) or value not in meanings:
        raise _MisfitError(f"{name!r} is {_shown(row, name)}, not one of {', '.join(map(str, meanings))}")
    return meanings[value]


def _conversation(row: Row, name: str, turn: int) -> tuple[str, str]:
    """(the first question, what is judged) of a conversation up to the answer of turn `turn`."""
    turns = row.get(name)
    if not isinstance(turns, list) or len(turns) < 2 * turn:
        raise _MisfitError(f"{name!r} is no conversation of {turn} turn(s)")
    used = turns[: 2 * turn]
    for number, message in enumerate(used):
        role = ("user", "assistant")[number % 2]
        if not isinstance(message, Mapping) or message.get("role") != role:
            raise _MisfitError(f"message {number + 1} of {name!r} is not the {role}'s")
        _text(message, "content", empty=role == "assistant")
    answer = used[1]["content"]
    if turn == 2:
        answer = "\n".join(f"{message['role']}: {message['content']}" for message in used[1:])
    return used[0]["content"], answer


def _shown(row: Row, name: str) -> str:
    return f"{row[name]!r:.60}" if name in row else "absent"
