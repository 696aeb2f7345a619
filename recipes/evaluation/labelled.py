"""Pairs of responses with a label, as four benchmarks of judges publish them: rows in, one kind of record out.

Files are read elsewhere. A row that does not fit is an error with its place, never a guess. What the published files
are known to have that is odd is read as their projects' own code reads it, and said of the pair (`notes`), so that it
can be counted: the shapes of PandaLM's and LLMBar's files are verified on the files, those of MT-bench's and
RewardBench's by their data set cards and code.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from ...orchestrator.data.seeds import derive_seed
from ...orchestrator.errors import ConfigError
from .comparisons import Verdict
from .judge_accuracy import Unread

Row: TypeAlias = Mapping[str, Any]

CONVERSATIONS = ("conversation_a", "conversation_b")


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledPair:
    """A prompt, two responses, and which is the better one. `subset` is the part of the benchmark it belongs to,
    `notes` what was odd about its row, in words that are the same for every such row.

    Example:
        LabelledPair(prompt="Name a prime.", a="7", b="8", label="a")
    """

    prompt: str
    a: str
    b: str
    label: Verdict
    subset: str = ""
    notes: tuple[str, ...] = ()


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
    first one's label, as its own script has it. An absent `input` is NaN there.

    Of the published file's 999 rows six have a response that is JSON's true: the word "True", which its code puts into
    the prompt. One has an instruction of a blank: its input alone is the prompt."""
    votes = [_one_of(row, f"annotator{number}", {0: "tie", 1: "a", 2: "b"}) for number in (1, 2, 3)]
    given = row.get("input")
    more = "" if given is None or (isinstance(given, float) and math.isnan(given)) else _text(row, "input", empty=True)
    instruction = _text(row, "instruction", empty=bool(more.strip()))
    a, b = (_word_or_text(row, name) for name in ("response1", "response2"))
    return LabelledPair(
        prompt="\n\n".join(part for part in (instruction, more) if part.strip()),
        a=a,
        b=b,
        label=Counter(votes).most_common(1)[0][0],
        notes=_notes(
            {
                "a response is JSON's true or false, read as the word": _has_word(row, "response1", "response2"),
                "the instruction is blank, so the input alone is the prompt": not instruction.strip(),
                "a response is empty": not (a.strip() and b.strip()),
                "all three annotators differ, so the first one's label is taken": len(set(votes)) == 3,
            }
        ),
    )


def _llmbar(row: Row) -> LabelledPair:
    """LLMBar (arXiv 2310.07641): one output follows the instruction, the other does not. Of its processed sets
    LLMEval² has an empty output."""
    a, b = _text(row, "output_1", empty=True), _text(row, "output_2", empty=True)
    return LabelledPair(
        prompt=_text(row, "input"),
        a=a,
        b=b,
        label=_one_of(row, "label", {1: "a", 2: "b"}),
        notes=_notes({"a response is empty": not (a.strip() and b.strip())}),
    )


def _mt_bench(row: Row) -> LabelledPair:
    """MT-bench's human judgments (arXiv 2306.05685), one row a vote. The conversations part after the first question:
    a judgment of the second turn is about all that follows it, turns named by their roles. The votes of GPT-4 that
    stand beside people's have "tie (inconsistent)" where its two orders contradict each other: a tie."""
    turn = _one_of(row, "turn", {1: 1, 2: 2})
    question, a = _conversation(row, "conversation_a", turn)
    other, b = _conversation(row, "conversation_b", turn)
    if question != other:
        raise _MisfitError("conversation_a and conversation_b begin with different questions")
    winner = _text(row, "winner")
    names = {"model_a": "a", "model_b": "b"}
    label = "tie" if winner.startswith("tie") else _one_of(row, "winner", names)
    empty = any(not message["content"].strip() for name in CONVERSATIONS for message in row[name][1 : 2 * turn : 2])
    qualified = winner.startswith("tie") and winner != "tie"
    notes = {f"the winner is {winner!r}, read as a tie": qualified, "a response is empty": empty}
    return LabelledPair(prompt=question, a=a, b=b, label=label, subset=f"turn {turn}", notes=_notes(notes))


def _rewardbench(row: Row) -> LabelledPair:
    """RewardBench (arXiv 2403.13787). Which of the two is a is drawn by the pair's texts: with the chosen one always in
    the same place, chance would agree always."""
    prompt, chosen, rejected = (
        _text(row, "prompt"),
        _text(row, "chosen", empty=True),
        _text(row, "rejected", empty=True),
    )
    subset = _text(row, "subset")
    notes = _notes({"a response is empty": not (chosen.strip() and rejected.strip())})
    if derive_seed("side", prompt, chosen, rejected) % 2:
        return LabelledPair(prompt=prompt, a=rejected, b=chosen, label="b", subset=subset, notes=notes)
    return LabelledPair(prompt=prompt, a=chosen, b=rejected, label="a", subset=subset, notes=notes)


FORMATS: dict[str, Callable[[Row], LabelledPair]] = {
    "pandalm": _pandalm,
    "llmbar": _llmbar,
    "mt_bench": _mt_bench,
    "rewardbench": _rewardbench,
}


# What the benchmark's own code makes of a judge's answer that it cannot read: PandaLM a tie ("garbage"), LLMBar no
# winner, which is never the label, RewardBench half a point. MT-bench's agreement is over the votes that there are.
UNREAD: dict[str, Unread] = {"pandalm": "tie", "llmbar": "wrong", "mt_bench": "left_out", "rewardbench": "tie"}


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


def _word_or_text(row: Row, name: str) -> str:
    value = row.get(name)
    return str(value) if isinstance(value, bool) else _text(row, name, empty=True)


def _has_word(row: Row, *names: str) -> bool:
    return any(isinstance(row.get(name), bool) for name in names)


def _notes(found: Mapping[str, bool]) -> tuple[str, ...]:
    return tuple(note for note, holds in found.items() if holds)


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
