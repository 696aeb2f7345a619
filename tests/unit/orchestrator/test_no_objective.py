"""Rounds that learn nothing: their pairs are for later ones, and the policy is the one they began with."""

from pathlib import Path

import pytest
from support.configs import PAIRS_JUDGED, base, changed, phase
from support.scripted_run import ScriptedRun, Stopped

from roundelay.orchestrator.config.schema import Config
from roundelay.orchestrator.data.records import PairingOutcome, PromptCandidate, pairs_of
from roundelay.recipes.objectives.none import NoObjective

NOTHING = NoObjective(kind="none")


def data_then_judge(**changes) -> Config:
    """A round that makes pairs of six prompts, then two that learn from judging prompts over them."""
    top = changed(base(), run__rounds=3, run__prompts_per_round=6, run__prompts_per_shard=3, **changes)
    phases = {"data": phase(top, rounds=1, objective=NOTHING), "judge": phase(top, new_prompts=PAIRS_JUDGED)}
    return changed(top, phases=phases)


def sources(run: ScriptedRun, round: int) -> set[str]:
    return {name for c in run.ledger.read_stage(round, "prompts", PromptCandidate) for name in c.shown}


def paired(run: ScriptedRun, round: int) -> list[str]:
    return [pair.prompt.id for pair in pairs_of(list(run.ledger.read_stage(round, "pairs", PairingOutcome)))]


@pytest.mark.parametrize("colocated", [True, False])
def test_the_policy_stays_as_it_is_and_later_rounds_judge_what_was_paired(tmp_path: Path, colocated: bool) -> None:
    run = ScriptedRun(data_then_judge(cluster__colocated=colocated), tmp_path)
    run.go_on()
    first, second = run.ledger.manifest(1), run.ledger.manifest(2)
    assert (first["policy"]["version"], first["policy"]["path"]) == (0, "initial")
    assert first["learn"] == {"steps": 0, "pairs_trained": 0}
    assert first["data"]["pairs"] == len(paired(run, 1)) > 0
    assert [start.round for start in run.learner.starts] == [2, 3], "round 1 begins no update"
    assert (second["start"]["version"], second["reference"]["version"]) == (0, 0)
    assert run.ledger.manifest(3)["start"]["version"] == 2
    assert sources(run, 2) | sources(run, 3) <= set(paired(run, 1)) and len(sources(run, 2)) == 3
    assert not run.ledger.exists("rounds/001/policy")


@pytest.mark.parametrize("stops", [(6, 2), (9, 1)])
def test_stopped_anywhere_it_ends_with_the_same_pairs(tmp_path: Path, stops: tuple[int, ...]) -> None:
    for name in ("calm", "shaken"):
        (tmp_path / name).mkdir()
    calm, shaken = (ScriptedRun(data_then_judge(), tmp_path / name) for name in ("calm", "shaken"))
    calm.go_on()
    for calls in stops:
        with pytest.raises(Stopped):
            shaken.go_on(calls)
    shaken.go_on()
    for round in (1, 2, 3):
        assert paired(shaken, round) == paired(calm, round)
        assert shaken.ledger.manifest(round)["policy"]["version"] == calm.ledger.manifest(round)["policy"]["version"]
