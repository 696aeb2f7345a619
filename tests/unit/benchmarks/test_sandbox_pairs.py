"""The sandbox's claims, tested on pairs of the same tasks."""

import numpy as np
import pytest
from sandbox_figures import Figures
from sandbox_pairs import compared, mcnemar, paired


def test_one_answer_a_task_is_mcnemars_exact_test() -> None:
    """10 tasks are won and 2 lost: 2·(1 + 12 + 66)/2¹² = .03857. What both or neither get right says nothing."""
    gaps = np.array([1] * 10 + [-1] * 2 + [0] * 88)
    assert mcnemar(gaps) == pytest.approx(158 / 4096)


def test_a_tasks_judgments_are_one_cluster() -> None:
    """Two tasks gain 3 of 5 and one loses 1: z = 5/√19 = 1.147, p = .2513; as so many single judgments it were
    2·(1 + 7)/2⁷ = .125."""
    assert mcnemar(np.array([3, 3, -1, 0])) == pytest.approx(0.2513, abs=1e-4)


def test_the_interval_covers_the_true_difference() -> None:
    """Of 400 tasks, of which one policy answers 60% and the other 70% of just these and others."""
    rng, covered = np.random.default_rng(0), 0
    for _ in range(500):
        hard = rng.random(400)
        before, after = (hard < 0.6).astype(int), ((hard < 0.6) & (rng.random(400) < 0.9) | (hard > 0.84)).astype(int)
        one = paired("", "answers", [(before.tolist(), after.tolist())], 1)
        covered += one.low <= 0.6 * 0.9 + 0.16 - 0.6 <= one.high
    assert covered / 500 > 0.92


def figures(name: str, stage: str, seed: int, answers: tuple[int, ...]) -> Figures:
    return Figures(
        seed=seed, name=name, stage=stage, true_accuracy=0.5, judge_accuracy=0.5, tokens=6.0, answers=answers,
        judgments=answers,
    )  # fmt: skip


def test_only_seeds_that_both_were_played_on_are_paired() -> None:
    """The always right judge has seed 0 alone, where it has one task more."""
    shown = [
        *(figures("self_rewarding", stage, seed, (1, 0)) for seed in (0, 1) for stage in ("start", "3")),
        figures("true judge", "3", 0, (1, 1)),
    ]
    found = {(one.claim, one.measure): one for one in compared(shown, 5)}
    against_start = found["self_rewarding against its start", "answers"]
    assert (against_start.seeds, against_start.tasks, against_start.p) == (2, 4, 1.0)
    against_truth = found["self_rewarding against true judge", "answers"]
    assert (against_truth.seeds, against_truth.difference, against_truth.rises) == (1, -0.5, 0)
