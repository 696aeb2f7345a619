"""Samplers beside the policy: whose weights answer, who judges, and that a resume mixes none of them up."""

from pathlib import Path
from typing import Any

import pytest
from support.configs import ALL_CREAM, base, changed, phase, with_phases
from support.scripted_run import ScriptedRun, Stopped

from roundelay.orchestrator.config.schema import Config
from roundelay.orchestrator.data.records import PolicyRef, Rollout
from roundelay.orchestrator.ledger import layout
from roundelay.orchestrator.ledger.layout import HELDOUT_ROLLOUTS, ROLLOUTS, Stage
from roundelay.orchestrator.ledger.ledger import Ledger
from roundelay.orchestrator.round.commit import policies_needed
from roundelay.orchestrator.round.samplers import model_samplers, sampler_policy

ALL = ("policy", "initial", "previous")


def sampled_by(*samplers: str, **changes: Any) -> Config:
    """Two samples from each, three rounds."""
    return changed(
        base(),
        generation__samplers=samplers,
        generation__samples_per_prompt=2,
        run__rounds=3,
        run__prompts_per_round=4,
        run__prompts_per_shard=2,
        **changes,
    )


def rollouts_of(run: ScriptedRun, round: int, sampler: str, stage: Stage[Rollout] = ROLLOUTS) -> list[Rollout]:
    return list(run.ledger.read_stage(round, layout.sampled_by(sampler, stage).name, Rollout))


def test_each_sampler_answers_with_its_own_weights_under_numbers_of_its_own(tmp_path: Path) -> None:
    """In round 3 the policy is round 2's, the previous one round 1's; each gives samples 0–1, 2–3, 4–5 of every prompt,
    and seeds are as different as their numbers."""
    run = ScriptedRun(sampled_by(*ALL), tmp_path)
    run.go_on()
    versions = {"policy": 2, "initial": 0, "previous": 1}
    names = {"policy": "policy", "initial": "initial", "previous": "policy"}
    seeds: set[int] = set()
    for index, sampler in enumerate(ALL):
        rollouts = rollouts_of(run, 3, sampler)
        assert {(r.sampler, r.policy_version) for r in rollouts} == {(sampler, versions[sampler])}
        assert all(r.text.startswith(f"{names[sampler]}: ") for r in rollouts)
        assert [r.sample for r in rollouts] == [2 * index, 2 * index + 1] * 4
        seeds |= {r.seed for r in rollouts}
    assert len(seeds) == 3 * 2 * 4
    made = {name: one["version"] for name, one in run.ledger.manifest(3)["samplers"].items()}
    assert made == versions


def test_only_the_policy_judges_and_it_judges_all(tmp_path: Path) -> None:
    """Six responses to each of four prompts, all scored by what the round began with."""
    run = ScriptedRun(sampled_by(*ALL), tmp_path)
    run.go_on()
    assert run.ledger.manifest(2)["data"]["judge"]["votes"] == 6 * 4
    policies = {str(Path(run.ledger.root, "initial")), *(run.ledger.model_path(r, "policy") for r in (1, 2, 3))}
    assert set(run.rollouts.votes) == policies
    assert run.rollouts.held == run.ledger.model_path(3, "policy")


def test_weights_are_loaded_only_where_other_ones_are_held(tmp_path: Path) -> None:
    """Rounds 0 and 1: all samplers are the initial policy. Round 2: previous and initial are. Round 3: three loads."""
    run = ScriptedRun(sampled_by(*ALL), tmp_path)
    run.go_on()
    names = [str(Path(path).relative_to(run.ledger.root)) for path in run.rollouts.loads]
    one, two, three = (f"rounds/00{round}/policy" for round in (1, 2, 3))
    assert names == [one, "initial", one, two, "initial", one, two, three]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> ScriptedRun:
    run = ScriptedRun(sampled_by(*ALL), tmp_path_factory.mktemp("calm"))
    run.go_on()
    return run


@pytest.mark.parametrize("stops", [(3, 7, 11, 2, 9), (14, 1, 5, 6), (30,)])
def test_a_run_that_is_stopped_while_anyone_samples_ends_as_if_it_had_not_been(
    calm: ScriptedRun, tmp_path: Path, stops: tuple[int, ...]
) -> None:
    """Whatever was sampled before the power went is read back, the rest comes from the same weights and seeds."""
    shaken = ScriptedRun(sampled_by(*ALL), tmp_path)
    for calls in stops:
        with pytest.raises(Stopped):
            shaken.go_on(calls)
    shaken.go_on()
    for round in range(4):
        for sampler in ALL:
            for stage in (ROLLOUTS, HELDOUT_ROLLOUTS):
                assert rollouts_of(shaken, round, sampler, stage) == rollouts_of(calm, round, sampler, stage)
        assert (
            shaken.ledger.manifest(round)["data" if round else "evaluation"]
            == (calm.ledger.manifest(round)["data" if round else "evaluation"])
        )


def test_by_default_the_policy_alone_samples_and_nothing_is_loaded_for_it(tmp_path: Path) -> None:
    run = ScriptedRun(changed(sampled_by("policy"), run__rounds=1), tmp_path)
    run.go_on()
    assert run.rollouts.loads == [run.ledger.model_path(1, "policy")]
    assert [stage for stage in run.ledger.manifest(1)["stage_sha256"] if "rollouts-" in stage] == []


# ------------------------------------------------------------------------------------------------------ who is who


def ledger_of(tmp_path: Path, versions: list[int], **sources: str) -> Ledger:
    """A run whose rounds, from 1, ended with policies of these versions: a round may leave the policy as it was."""
    ledger = Ledger(str(tmp_path / "run"))
    ledger.write_header({"initial_policy": {"path": "/start", "sha256": "0"}, "sources": sources})
    for round, version in enumerate(versions, start=1):
        policy = {"version": version, "path": f"/p{version}", "sha256": str(version)}
        ledger.write_json({"policy": policy}, f"rounds/{round:03d}/learn.json")
    return ledger


@pytest.mark.parametrize(
    ("sampler", "round", "version"),
    [
        ("policy", 0, 0), ("policy", 1, 0), ("policy", 4, 3),
        ("initial", 4, 0),
        ("previous", 0, 0), ("previous", 1, 0), ("previous", 2, 0), ("previous", 4, 2),
        ("round-1", 4, 1), ("round-0", 4, 0), ("round-2", 0, 0),
        ("/models/a", 4, -1), ("/models/b", 0, -2),
    ],
)  # fmt: skip
def test_a_sampler_is_known_by_the_ledger(tmp_path: Path, sampler: str, round: int, version: int) -> None:
    """In round 0 nothing is made: every word means the initial policy. Models from outside have negative versions."""
    ledger = ledger_of(tmp_path, [1, 2, 3], **{"/models/a": "aa", "/models/b": "bb"})
    found = sampler_policy(sampler, base(), ledger, round)
    assert found.version == version
    if version < 0:
        assert found == PolicyRef(version=version, path=sampler, sha256={-1: "aa", -2: "bb"}[version])


def test_models_from_outside_are_counted_once_over_all_phases() -> None:
    config = with_phases(
        one=phase(rounds=1, generation__samplers=("policy", "/a", "initial")),
        two=phase(generation__samplers=("policy", "/b", "/a", "round-1")),
    )
    assert model_samplers(config) == ["/a", "/b"]


def test_stages_of_samplers_are_apart() -> None:
    names = [layout.sampled_by(sampler, ROLLOUTS).name for sampler in (*ALL, "round-3", "/models/a", "/models/b")]
    assert names[:4] == ["rollouts", "rollouts-initial", "rollouts-previous", "rollouts-round-3"]
    assert len(set(names)) == 6 and "/" not in "".join(names)


# ------------------------------------------------------------------------------------------- what must not be deleted


def test_policies_that_later_rounds_sample_from_or_average_are_not_deleted(tmp_path: Path) -> None:
    """After round 4 (a reward model's: the policy stays round 3's) round 5's policy is 3, and the one before it is what
    round 3 ended with: 3 too. Averages of three want the two newest; round 1 is named by hand."""
    ledger = ledger_of(tmp_path, [1, 2, 3, 3])
    assert policies_needed(base(), ledger, 4) == set()
    assert policies_needed(sampled_by("policy", "previous"), ledger, 4) == {3}
    assert policies_needed(sampled_by("policy", "previous"), ledger, 3) == {2}
    assert policies_needed(sampled_by("policy", "previous"), ledger, 1) == set()
    assert policies_needed(changed(base(), learner__average_rounds=3), ledger, 4) == {3, 2}
    back = changed(base(), **ALL_CREAM, learner__start="before_previous")
    assert policies_needed(back, ledger, 3) == {2, 1}, "round 4 begins with 2, and its judge compares that with 1"
    named = with_phases(one=phase(rounds=2), two=phase(generation__samplers=("policy", "round-1")))
    assert policies_needed(named, ledger, 2) == {1}
    assert policies_needed(named, ledger_of(tmp_path / "new", []), 0) == set()


def test_a_run_that_keeps_one_policy_keeps_those_that_it_samples_from(tmp_path: Path) -> None:
    run = ScriptedRun(sampled_by("policy", "previous", run__keep_policies=1), tmp_path)
    run.go_on()
    assert [Path(run.ledger.model_path(round, "policy")).exists() for round in (1, 2, 3)] == [False, True, True]
