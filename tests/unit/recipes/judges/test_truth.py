"""Judgments held against what is known: right, wrong, a tie, or not to be read, and never the one for the other."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.judging import Judge, prompt, rollout, said, shard

from roundelay.orchestrator.data.records import SCORING, FinishReason, JudgingForm, Judgment, Truth
from roundelay.recipes.judges.truth import judge_truth


def judge(text: str, form: JudgingForm, ranks: tuple[int, ...], finish: FinishReason = "stop") -> Judgment:
    """The judgment of one judgment in words. Nothing is asked of an engine."""
    asked = replace(prompt("river/0-1", "Which is better?"), truth=Truth(source="river", form=form, ranks=ranks))
    engine = Judge(lambda request: said(""))
    (found,) = asyncio.run(judge_truth(shard(asked), [rollout(asked.id, 0, text, finish=finish)], engine))
    assert engine.calls == [] and (found.prompt_id, found.sample, found.vote) == ("river/0-1", 0, 0)
    return found


@pytest.mark.parametrize(
    ("text", "form", "ranks", "right"),
    [
        ("A is fuller. [[A]]", "mt_bench", (0, 1), True),
        ("A is fuller. [[A]]", "mt_bench", (1, 0), False),
        ("[[A]]? No. [[B]]", "mt_bench", (1, 0), True),  # the last one counts
        ("[[C]]", "mt_bench", (0, 1), False),  # a tie is never right, whichever is better
        ("[[C]]", "mt_bench", (1, 0), False),
        ("1\nIt is clearer.", "pandalm", (0, 2), True),
        ("2\nIt is clearer.", "pandalm", (0, 2), False),
        ("Tie\nBoth.", "pandalm", (2, 0), False),
        ("[[B+]]", "wildbench", (3, 1), True),  # slightly better is better
        ("[[A>>B]]", "arena", (3, 1), False),
    ],
)
def test_a_verdict_is_right_where_it_names_the_better_ranked_response(
    text: str, form: JudgingForm, ranks: tuple[int, ...], right: bool
) -> None:
    found = judge(text, form, ranks)
    assert (found.status, found.score, found.agrees) == ("parsed", float(right), right)


@pytest.mark.parametrize(
    ("text", "form", "finish", "status"),
    [
        ("Both have merits.", "mt_bench", "stop", "unparsable"),
        ("[[D]]", "mt_bench", "stop", "unparsable"),
        ("Neither\nis good", "pandalm", "stop", "unparsable"),
        ("A is better because", "mt_bench", "length", "truncated"),
        ("Score: 7", "additive", "stop", "unparsable"),
        ("Score: 7", "expected_score", "stop", "unparsable"),
        ("It is relevant, so", "additive", "length", "truncated"),
    ],
)
def test_what_cannot_be_read_is_a_status_and_never_a_number(
    text: str, form: JudgingForm, finish: FinishReason, status: str
) -> None:
    found = judge(text, form, (0,) if form in SCORING else (0, 1), finish)
    assert (found.status, found.score, found.agrees) == (status, None, None)


def test_a_score_by_the_rubric_is_taken_as_it_is() -> None:
    """Whether 4 is right depends on the other responses' scores."""
    found = judge("Good. Score: 2, no:\nScore: 4", "additive", (1,))
    assert (found.status, found.score, found.agrees) == ("parsed", 4.0, None)


def test_of_prompts_without_a_truth_nothing_is_known() -> None:
    plain = prompt("p", "Hi")
    assert asyncio.run(judge_truth(shard(plain), [rollout("p", 0, "[[A]]")], Judge(lambda request: said("")))) == []


@given(text=st.text(alphabet="AB12C[]\n =+>Tie", max_size=30), form=st.sampled_from(["mt_bench", "pandalm", "arena"]))
def test_what_is_right_of_one_order_is_not_right_of_the_other(text: str, form: JudgingForm) -> None:
    """The same words with the ranks swapped: never right twice, and read or not read alike."""
    one, other = judge(text, form, (0, 1)), judge(text, form, (1, 0))
    assert one.status == other.status and not (one.agrees and other.agrees)
