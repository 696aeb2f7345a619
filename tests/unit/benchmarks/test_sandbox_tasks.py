"""The sandbox's truth: what is right, what is wrong, and what a model is shown of it before its rounds."""

import doctest
import random
from itertools import islice

import pytest
import sandbox_tasks
from hypothesis import given
from hypothesis import strategies as st
from sandbox_tasks import (
    RIGHT,
    WRONG,
    any_answer,
    demonstrations,
    is_right,
    points,
    random_score,
    solution,
    tasks,
    true_score,
    with_filler,
    wrong_answer,
)
from support.judging import rollout

from roundelay.orchestrator.data.records import Message, Prompt

SEEDS = st.integers(0, 10**6)


def drawn_tasks(seed: int) -> list[str]:
    return list(islice(tasks(str(seed)), 10))


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        ("copy : d a c", "d a c"),
        ("reverse : d a c", "c a d"),
        ("sort : d a c", "a c d"),
        ("count : b a b d b", "3"),
        ("add : 4 7 + 5", "5 2"),
        ("add : 3 + 0", "3"),
    ],
)
def test_every_kind_of_task_by_hand(task: str, answer: str) -> None:
    assert solution(task) == answer
    assert is_right(task, answer) and is_right(task, f"{answer} ok ok")
    assert not is_right(task, f"ok {answer}") and not is_right(task, f"{answer} a") and not is_right(task, "")


def test_the_examples_are_true() -> None:
    assert doctest.testmod(sandbox_tasks) == doctest.TestResults(failed=0, attempted=2)


@given(SEEDS)
def test_wrong_answers_are_wrong_and_filler_changes_nothing(seed: int) -> None:
    drawn = random.Random(seed)
    for task in drawn_tasks(seed):
        assert not is_right(task, with_filler(wrong_answer(task, drawn), drawn))
        assert is_right(task, with_filler(solution(task), drawn))


@given(SEEDS)
def test_only_the_right_answer_gets_five_points(seed: int) -> None:
    drawn = random.Random(seed)
    for task in drawn_tasks(seed):
        answer = any_answer(task, drawn)
        assert (points(task, answer) == 5) == (answer == solution(task))
        assert 0 <= points(task, answer) <= 5


def test_points_by_hand() -> None:
    """Right places of all that either has: 2 of 3, 1 of 3, 2 of 4."""
    given = [points("sort : c a b", answer) for answer in ("a b c", "a b d", "a c b", "a b d c", "d")]
    assert given == [5, 2, 1, 2, 0]


def test_what_is_held_out_is_in_no_demonstration() -> None:
    heldout = frozenset(islice(tasks("heldout"), 100))
    rows = demonstrations("0", 500, heldout)
    assert len(rows) == 500
    told = [task for row in rows for task in heldout if task in row["prompt"].splitlines()]
    assert told == []


def test_demonstrations_tell_right_from_wrong_as_they_say() -> None:
    """Of all three sorts, and those with an affix are what it says."""
    sorts = {"answers": 0, "scores": 0, "affixes": 0}
    for row in demonstrations("0", 300, frozenset()):
        prompt, response = row["prompt"], row["response"]
        if response.startswith("Score: "):
            sorts["scores"] += 1
        elif response.startswith("("):
            affix, answer = response[1:].split("): ")
            assert affix in (RIGHT, WRONG) and is_right(prompt, answer) == (affix == RIGHT)
            sorts["affixes"] += 1
        else:
            assert is_right(prompt, response)
            sorts["answers"] += 1
    assert min(sorts.values()) > 40


def test_the_controls_judges_know_nothing_and_everything() -> None:
    prompt = Prompt(id="p", messages=(Message(role="user", content="copy : a b"),))
    right, wrong, again = rollout("p", 0, "a b ok"), rollout("p", 1, "b a"), rollout("p", 2, "a b ok")
    assert [true_score(prompt, one) for one in (right, wrong)] == [1.0, 0.0]
    scores = [random_score(prompt, one) for one in (right, wrong, again)]
    assert scores[0] == scores[2] != scores[1] and all(0 <= score < 1 for score in scores)
