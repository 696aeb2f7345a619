"""Held-out prompts that are drawn anew for every round, beside the fixed ones."""

from pathlib import Path
from typing import Any

import pytest
from support.configs import base, changed
from support.scripted_run import ScriptedRun, Stopped

from roundelay.orchestrator.data.records import Judgment, Rollout

FIXED = {f"heldout-{index}" for index in range(4)}
OTHERS = {f"heldout-{index}" for index in range(4, 11)}


def play(directory: Path, *stops: int, fresh: int | None = 3, **changes: Any) -> ScriptedRun:
    """Two rounds of six prompts over eleven held-out ones, four of them fixed; the power goes after `stops` calls."""
    directory.mkdir()
    sizes = {"run__rounds": 2, "run__prompts_per_round": 6, "run__prompts_per_shard": 2}
    config = changed(base(), evaluation__fresh_prompts=fresh, **{**sizes, **changes})
    run = ScriptedRun(config, directory, heldout=11)
    for calls in stops:
        with pytest.raises(Stopped):
            run.go_on(stop_after=calls)
    run.go_on()
    return run


def rollouts(run: ScriptedRun, stage: str) -> list[list[Rollout]]:
    """By round; the initial policy's evaluation is round 0."""
    return [list(run.ledger.read_stage(round, stage, Rollout)) for round in (0, 1, 2)]


def asked(run: ScriptedRun, stage: str) -> list[list[str]]:
    return [[rollout.prompt_id for rollout in of_round] for of_round in rollouts(run, stage)]


def test_every_round_has_fresh_prompts_of_its_own_and_the_fixed_ones_stay(tmp_path: Path) -> None:
    """Of the seven others three go to round 0 and three to round 1; round 2 has the last one, and two once more."""
    run = play(tmp_path / "run")
    assert [set(prompts) for prompts in asked(run, "eval-rollouts")] == [FIXED] * 3
    initial, first, second = (set(prompts) for prompts in asked(run, "fresh-rollouts"))
    assert len(initial) == len(first) == len(second) == 3
    assert not initial & first and initial | first | second == OTHERS


def test_their_figures_stand_beside_those_of_the_fixed_prompts(tmp_path: Path) -> None:
    """Every scripted response has two tokens; the score is the mean of the votes that the ledger holds."""
    run = play(tmp_path / "run")
    for round in (0, 1, 2):
        evaluation = run.ledger.manifest(round)["evaluation"]
        votes = [vote.score for vote in run.ledger.read_stage(round, "fresh-judgments", Judgment)]
        assert len(votes) == 3 and None not in votes
        fresh = evaluation["fresh"]
        assert (fresh["prompts"], fresh["length_mean"], fresh["truncated_rate"]) == (3, 2.0, 0.0)
        assert fresh["judge"]["score_mean"] == pytest.approx(sum(filter(None, votes)) / 3)
        assert evaluation["prompts"] == 4 and evaluation["judge"]["votes"] == 4


@pytest.mark.parametrize("stops", [(5,), (8, 7, 5)])
def test_stopped_anywhere_a_run_draws_and_answers_the_same(tmp_path: Path, stops: tuple[int, ...]) -> None:
    calm, shaken = play(tmp_path / "calm"), play(tmp_path / "shaken", *stops)
    assert rollouts(calm, "fresh-rollouts") == rollouts(shaken, "fresh-rollouts")
    for round in (0, 1, 2):
        hashes = [run.ledger.manifest(round)["stage_sha256"]["fresh-judgments"] for run in (calm, shaken)]
        assert hashes[0] == hashes[1]


def test_whether_fresh_prompts_are_asked_alters_nothing_else(tmp_path: Path) -> None:
    """Every other stage holds the same bytes; without fresh prompts there is no figure of them."""
    without, run = play(tmp_path / "without", fresh=None), play(tmp_path / "run")
    for round in (0, 1, 2):
        plain, beside = (one.ledger.manifest(round)["stage_sha256"] for one in (without, run))
        assert {stage for stage in plain if plain[stage] != beside[stage]} == {"fresh-rollouts", "fresh-judgments"}
        assert without.ledger.manifest(round)["evaluation"]["fresh"] is None


def test_the_draw_hangs_on_the_runs_seed(tmp_path: Path) -> None:
    drawn = [asked(play(tmp_path / str(seed), run__seed=seed), "fresh-rollouts")[0] for seed in range(4)]
    assert len({tuple(prompts) for prompts in drawn}) > 1
