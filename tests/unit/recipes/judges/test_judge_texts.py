"""What judges write, and what is read of it: a corpus with the right reading of each text, and a fuzzer beside it.

`judge_texts.jsonl` has a line a text: which reader reads it, whether the token limit cut it, and the right reading,
null where that is a status. Texts and readings are made by hand, in the shapes that judges' answers have.
"""

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.configs import ADDITIVE, ATTRIBUTES, CRITIQUE, PAIRWISE, RATING, changed
from support.judging import Judge, prompt, rollout, said, shard

from roundelay.orchestrator.data.records import Generation, Judgment
from roundelay.recipes.evaluation.bias import has_list
from roundelay.recipes.generation.revise import parse_verdict
from roundelay.recipes.judges.additive import judge_additive
from roundelay.recipes.judges.attributes import judge_attributes, read_attributes
from roundelay.recipes.judges.checklist import read_checklist
from roundelay.recipes.judges.critique import critique_words, judge_critique
from roundelay.recipes.judges.pairwise import judge_pairwise, read_verdict
from roundelay.recipes.judges.rating import judge_rating
from roundelay.recipes.judges.rendering import escape_delimiters
from roundelay.recipes.judges.score_line import bracketed_rating, read_score, score_line
from roundelay.recipes.judges.thought import spoken
from roundelay.recipes.judges.verdicts import scored
from roundelay.recipes.prompts.asking import read_list

CORPUS = [json.loads(line) for line in Path(__file__).with_name("judge_texts.jsonl").read_text("utf-8").splitlines()]
NAMES = ("helpfulness", "verbosity")


def _checklist(text: str, complete: bool) -> tuple[str, int | None]:
    status, questions = read_checklist(text, complete=complete)
    return status, len(questions) or None


READERS: dict[str, Callable[[str, bool], tuple[str, Any]]] = {
    "score 0-5": lambda text, complete: read_score(text, score_line(0, 5), complete=complete),
    "critique 1-10": lambda text, complete: read_score(text, score_line(1, 10), complete=complete),
    "rating 1-10": lambda text, complete: read_score(text, bracketed_rating(1, 10), complete=complete),
    "attributes helpfulness verbosity 0-4": lambda text, complete: read_attributes(text, NAMES, complete=complete),
    "mt_bench": lambda text, complete: read_verdict(text, "mt_bench", complete=complete),
    "arena": lambda text, complete: read_verdict(text, "arena", complete=complete),
    "wildbench": lambda text, complete: read_verdict(text, "wildbench", complete=complete),
    "pandalm": lambda text, complete: read_verdict(text, "pandalm", complete=complete),
    "checklist": _checklist,
    "review": lambda text, complete: parse_verdict(text, complete=complete),
}


def test_the_corpus_is_as_large_as_it_says() -> None:
    """At least 150 texts, and no reader without one that it reads and one that it does not."""
    assert len({(row["reader"], row["text"], row.get("cut", False)) for row in CORPUS}) == len(CORPUS) >= 150
    for reader in READERS:
        rows = [row for row in CORPUS if row["reader"] == reader]
        assert any(row["right"] is None for row in rows) and any(row["right"] is not None for row in rows)


@pytest.mark.parametrize("row", CORPUS, ids=lambda row: f"{row['reader']}: {row['text']!r:.60}")
def test_each_text_has_its_right_reading(row: dict[str, Any]) -> None:
    cut = row.get("cut", False)
    status, found = READERS[row["reader"]](row["text"], not cut)
    found = list(found) if isinstance(found, tuple) else found
    unread = "truncated" if cut else "unparsable"
    assert (status, found) == (("parsed", row["right"]) if row["right"] is not None else (unread, None))


@pytest.mark.parametrize(("opening", "closing"), [
    ("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<thought>", "</thought>"), ("[THINK]", "[/THINK]"),
    ("<reasoning>", "</reasoning>"), ("◁think▷", "◁/think▷"), ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"), ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"), ("<|channel>thought\n", "<channel|>"),
    ("analysisWe ", "assistantfinal"), ("Here is my thought process:", "\nHere is my response:"),
])  # fmt: skip
def test_nothing_is_read_in_a_thought_of_any_kind(opening: str, closing: str) -> None:
    """Whole, with its opening in the template, never ended, and cut: a score and a verdict that stand in the thought
    are none. The template's opening of a thought is not in the text."""
    for reader, in_thought, after, right in (
        ("score 0-5", "Score: 5\n", "Score: 2", 2.0), ("rating 1-10", "[[9]]\n", "[[3]]", 3.0),
        ("mt_bench", "[[A]]\n", "[[B]]", 0.0), ("pandalm", "1\n", "\n2\n", 0.0),
        ("review", "Needs revision: 0\n", "\nNeeds revision: 1", True),
    ):  # fmt: skip
        read = READERS[reader]
        assert read(f"{opening}{in_thought}{closing}{after}", True) == ("parsed", right)
        assert read(f"{in_thought}{closing}{after}", True) == ("parsed", right)
        assert read(f"{opening}{in_thought}", True) == ("unparsable", None)
        assert read(f"{opening}{in_thought}", False) == ("truncated", None)


def test_a_critique_tells_no_thought() -> None:
    """The words of a judgment are learnt from, so its drafts must not be among them."""
    text = "<think>Score: 1</think>Name the year.\nFinal score: 4\nAnd the place."
    judgment = scored(rollout("p", 0, "r"), vote=0, status="parsed", score=4.0, answer=said(text))
    assert critique_words(judgment) == "Name the year.\n\nAnd the place."


def _judged(answer: Generation) -> list[Judgment]:
    """What every judge in words makes of an answer, with the sampling of the tests' configurations."""
    two, seeds = [rollout("p", 0, "one"), rollout("p", 1, "two")], (0, "judge")
    case, judge = shard(prompt("p", "Hi")), Judge(lambda request: answer)
    asked = [
        judge_additive(case, two, judge, config=ADDITIVE, seed_parts=seeds),
        judge_rating(case, two, judge, config=RATING, seed_parts=seeds),
        judge_critique(case, two, judge, config=CRITIQUE, seed_parts=seeds),
        judge_attributes(case, two, judge, config=changed(ATTRIBUTES, read="words"), seed_parts=seeds),
        judge_pairwise(case, two, judge, config=PAIRWISE, seed_parts=seeds),
    ]
    return [judgment for one in asked for judgment in asyncio.run(one)]


def test_every_judge_goes_by_the_marks_that_the_text_lacks() -> None:
    """A template opens the thought, and the token limit cuts it: the text alone would be read, lines and all."""
    text = "Score: 2\nRating: [[2]]\nhelpfulness: 1\nverbosity: 1\n[[A]]\nBut"
    statuses = {judgment.status for judgment in _judged(replace(said(text, "length"), marked=f"<think>{text}"))}
    assert statuses == {"truncated"}


def test_no_last_line_is_decoded_into_a_thought_that_never_ended() -> None:
    """A line there would be read by nobody; the draft stays what it is, cut."""
    for answer in (said("<think>Hm, 2 or", "length"), replace(said("Hm, 2 or", "length"), marked="<think>Hm, 2 or")):
        judge = Judge(lambda request, answer=answer: answer)
        config = changed(RATING, votes=1, constrain_last_line=True)
        case, responses = shard(prompt("p", "Hi")), [rollout("p", 0, "r")]
        (judgment,) = asyncio.run(judge_rating(case, responses, judge, config=config, seed_parts=(0,)))
        assert (judgment.status, judgment.score) == ("truncated", None)
        assert [len(call) for call in judge.calls] == [1, 0]


# --------------------------------------------------------------------------------------------------------------- fuzzer

PIECES = st.sampled_from([
    "Score:", "score: ", "Final score: ", "Confidence score: ", "Score (out of 5): ", "Rating: ", "[[", "]]",
    "[[A]]", "[[7]]", "helpfulness: ", "verbosity:", "0", "3", "4", "5", "10", "1e3", "٤", "½", "1 + 1 = 2", " + ",
    " - ", "=", "/5", "/10", " out of 5", " points", " or ", " to ", "-", "–", ".", ",", "%", "(", ")", "<", ">",
    "**", "\n", " ", "\t", "<think>", "</think>", "[THINK]", "[/THINK]", "assistantfinal",
    "<|channel|>analysis<|message|>", "<|channel|>final<|message|>", "1. Is it?\n", "Needs revision: 1", "Tie",
    "\ud800", "\x00",
])  # fmt: skip
TEXTS = st.text() | st.lists(PIECES, max_size=14).map("".join)


@given(text=TEXTS, reader=st.sampled_from(sorted(READERS)), complete=st.booleans())
def test_no_text_makes_a_reader_raise_or_leave_its_range(text: str, reader: str, complete: bool) -> None:
    status, found = READERS[reader](text, complete)
    assert (status == "parsed") == (found is not None)
    assert (
        status != ("truncated" if complete else "unparsable")
        or reader in ("score 0-5", "critique 1-10")
        or not complete
    )
    lowest, highest = {"score 0-5": (0, 5), "critique 1-10": (1, 10), "rating 1-10": (1, 10)}.get(reader, (0, 10))
    values = found if isinstance(found, tuple) else [] if found is None else [found]
    assert all(lowest <= value <= highest for value in values)


@given(text=TEXTS, draft=TEXTS, reader=st.sampled_from(sorted(READERS)))
def test_what_is_thought_first_changes_no_reading(text: str, draft: str, reader: str) -> None:
    """Whatever stands between the marks, the reading is that of what follows: of any text without marks of its own."""
    marks = ("think", "analysis", "assistantfinal", "<|", "channel", "Here is my")
    if any(mark in part.lower() for mark in marks for part in (text, draft)):
        return
    assert READERS[reader](f"<think>{draft}</think>{text}", True) == READERS[reader](text, True)
    assert READERS[reader](f"{draft}</think>{text}", True) == READERS[reader](text, True)


@given(
    score=st.integers(0, 5),
    further=st.integers(0, 99),
    joint=st.sampled_from([" ", "-", " or ", "/", ", ", " (", "e", "%"]),
)
def test_a_number_after_the_number_is_never_passed_over(score: int, further: int, joint: str) -> None:
    """It is the scale's maximum (5), or the line names no score."""
    status, found = read_score(f"Score: {score}{joint}{further}", score_line(0, 5), complete=True)
    assert (status, found) == ("unparsable", None) if (joint, further) != ("/", 5) else ("parsed", score)


@given(terms=st.lists(st.integers(0, 2), min_size=2, max_size=6), wrong=st.sampled_from([0, 0, 1, -1]))
def test_a_sum_is_read_by_its_result_if_that_is_right(terms: list[int], wrong: int) -> None:
    told = sum(terms) + wrong
    found = read_score(f"Score: {' + '.join(map(str, terms))} = {told}", score_line(0, 5), complete=True)
    assert found == (("parsed", told) if wrong == 0 and told <= 5 else ("unparsable", None))


# --------------------------------------------------------------------------------------------------------------- growth

FILLERS = [
    " ", "\t", "\n", "*", " \n", "Score", "Score:", "Score: ", "Score: 4 ", "Score: 1 + ", "1 + ", "(", "Score (",
    "Score: (", "[", "[[", "[[7", "[[7]] ", "]]", "<", "<think>", "</think>", "<think> x ", "[THINK]",
    "<|channel|>analysis", "assistantfinal", "1. x", "1. x ", "- ", "1", "4 or ", "- x \n", "helpfulness: ",
    "helpfulness: 3, ", "needs revision:", "Needs revision: 1 ", "\"", "`", "a", "a ", "é", "_", "</", "< prompt",
    "<prompt ", "score (out of ", "$",
]  # fmt: skip
# (what a text begins with, what it is full of, what it ends with): fillers alone, and blanks within a form.
GROWING = [
    *(("", filler, ending) for filler in FILLERS for ending in ("", "\nScore: 4x")),
    *(
        (opening, blank, "x")
        for opening in (
            "1. x",
            "Score",
            "Score:",
            "Score: 4",
            "Score: 1 +",
            "[[",
            "[[7",
            "<",
            "<think",
            "Needs revision:",
        )
        for blank in (" ", "\t", "*", " \t*")
    ),
]


def _whole(read: Callable[[str, bool], object]) -> Callable[[str], object]:
    return lambda text: read(text, True)


SAME_PARSER = ("critique 1-10", "arena", "wildbench")  # as another reader, with another scale or other words
PARSERS: dict[str, Callable[[str], object]] = {
    **{name: _whole(read) for name, read in READERS.items() if name not in SAME_PARSER},
    "spoken": spoken,
    "escape_delimiters": escape_delimiters,
    "read_list": read_list,
    "has_list": has_list,
}


def _seconds(parse: Callable[[str], object], text: str) -> float:
    """The least of this thread's own time over several runs: what else the machine does only adds to it."""

    def runs() -> Iterator[float]:
        for _ in range(2):
            began = time.thread_time()
            parse(text)
            yield time.thread_time() - began

    return min(runs())


@pytest.mark.parametrize("parser", PARSERS)
def test_every_parser_is_linear_in_the_text(parser: str) -> None:
    """Eight times the text takes eight times as long; quadratic would be 64 times. The bound is 24, and a measurement
    beyond it is made again: noise passes, growth does not."""
    parse = PARSERS[parser]
    for opening, filler, ending in GROWING:
        short, long = (opening + filler * (size // len(filler)) + ending for size in (2_000, 16_000))
        for attempt in range(4):
            took = _seconds(parse, long)
            if took < 0.002 or took < 24 * _seconds(parse, short):
                break
            assert attempt < 3, f"{parser}: {took:.3f} s for 16 kB of {filler!r} from {opening!r} to {ending!r}"


# ------------------------------------------------------------------------------------------------------------ documents


@pytest.mark.parametrize(
    "parser", [read_score, read_attributes, read_verdict, read_checklist, critique_words, parse_verdict]
)
def test_the_documents_say_what_each_parser_reads_in_its_own_words(parser: Callable[..., object]) -> None:
    """The first sentence of its docstring stands beside its name."""
    page = (Path(__file__).parents[4] / "docs" / "reading-judges.md").read_text("utf-8")
    sentence = " ".join((parser.__doc__ or "").split()).partition(". ")[0]
    assert f"| `{parser.__name__}` | {sentence.rstrip('.')}. |" in page


READINGS = re.compile(r"^\| (`Score.*?) \| ([0-9, ]+|unparsable) \|", re.MULTILINE)


def test_the_documents_examples_are_read_as_they_say() -> None:
    """Every text of the table, the two-line ones joined; "then … or …" are two."""
    page = (Path(__file__).parents[4] / "docs" / "reading-judges.md").read_text("utf-8")
    seen = 0
    for texts, reading in READINGS.findall(page):
        quoted = re.findall(r"`([^`]+)`", texts)
        if ", then " in texts:
            quoted = [f"{quoted[0]}\n{later}" for later in quoted[1:]]
        wanted = [None] * len(quoted) if reading == "unparsable" else [float(one) for one in reading.split(",")]
        wanted = wanted * len(quoted) if len(wanted) < len(quoted) else wanted
        assert [read_score(text, score_line(0, 5), complete=True)[1] for text in quoted] == wanted
        seen += len(quoted)
    assert seen >= 20
