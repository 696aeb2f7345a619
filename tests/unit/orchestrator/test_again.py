"""Rounds that take up the one before them, from the policy before that: Temporal Self-Rewarding's two phases."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from support.configs import EXPECTED, LENGTH_MARGIN, RIP, base, changed, phase, with_phases
from support.scripted_run import ScriptedRun, Stopped

from roundelay.orchestrator.config.checks import check_combinations
from roundelay.orchestrator.config.schema import Config
from roundelay.orchestrator.data.records import PairingOutcome, PreferencePair, Rollout
from roundelay.orchestrator.errors import ConfigError
from roundelay.recipes.pairing.anchored import AnchoredPairing
from roundelay.recipes.pairing.future_guided import FutureGuidedPairing

ANCHORED: dict[str, Any] = {
    "generation__samplers": ("policy", "initial"),
    "pairing": AnchoredPairing(kind="anchored"),
}
FUTURE: dict[str, Any] = {
    "generation__samplers": ("latest",),
    "generation__again": True,
    "pairing": FutureGuidedPairing(kind="future_guided"),
    "learner__start": "before_previous",
}


def temporal(**changes: Any) -> Config:
    """Two iterations of two rounds of six prompts."""
    top = changed(base(), **ANCHORED)
    phases = {"anchored": phase(top, rounds=1), "future": phase(top, rounds=1, **FUTURE)}
    sizes = {"run__rounds": 4, "run__prompts_per_round": 6, "run__prompts_per_shard": 3, "run__repeat_phases": True}
    return changed(top, phases=phases, **{**sizes, **changes})


def pairs(run: ScriptedRun, round: int) -> dict[str, PreferencePair]:
    outcomes = run.ledger.read_stage(round, "pairs", PairingOutcome)
    return {outcome.pair.prompt.id: outcome.pair for outcome in outcomes if outcome.pair is not None}


def test_a_future_round_samples_with_what_the_round_before_made_and_trains_what_that_began_with(
    tmp_path: Path,
) -> None:
    """Rounds 1 and 2 are M₀ → M_f → M₁; rounds 3 and 4 are M₁ → M_f → M₂, though M_f is the newest policy each time:
    judge, reference and start of a future round are those of the round before it."""
    run = ScriptedRun(temporal(run__keep_policies=1), tmp_path)
    run.go_on()
    starts = [run.ledger.manifest(round)["start"]["version"] for round in (1, 2, 3, 4)]
    assert starts == [run.ledger.manifest(round)["reference"]["version"] for round in (1, 2, 3, 4)] == [0, 0, 2, 2]
    samplers = [
        {name: one["version"] for name, one in run.ledger.manifest(round)["samplers"].items()} for round in (1, 2, 3, 4)
    ]
    assert samplers == [{"policy": 0, "initial": 0}, {"latest": 1}, {"policy": 2, "initial": 0}, {"latest": 3}]
    votes = [run.rollouts.votes[run.ledger.model_path(round, "policy")] for round in (1, 2, 3)]
    assert votes == [4, 4 + 6 * (4 + 4) + 6 * 4, 4], "M_f judges nothing but its own evaluation"
    assert {r.policy_version for r in run.ledger.read_stage(4, "rollouts-latest", Rollout)} == {3}


def test_a_future_round_has_the_prompts_and_the_rejected_responses_of_the_round_before(tmp_path: Path) -> None:
    """Twelve prompts, six a pair of rounds: no prompt is skipped or comes twice. Every pair of the round before is one
    again, what was rejected stays rejected, and no chosen response is worse than before."""
    run = ScriptedRun(temporal(), tmp_path)
    run.go_on()
    for first, second in ((1, 2), (3, 4)):
        before, after = pairs(run, first), pairs(run, second)
        assert before.keys() == after.keys() and before
        for prompt_id, pair in after.items():
            assert pair.rejected.token_ids == before[prompt_id].rejected.token_ids
            assert pair.rejected.sampler == "rejected_before"
            assert pair.margin is not None and pair.margin >= (before[prompt_id].margin or 0.0)
            assert pair.chosen.sampler in ("chosen_before", "latest")
    assert not pairs(run, 1).keys() & pairs(run, 3).keys()


@pytest.mark.parametrize("stops", [(8, 2, 3), (11, 4)])
def test_stopped_in_any_of_its_rounds_a_run_ends_with_the_same_pairs(tmp_path: Path, stops: tuple[int, ...]) -> None:
    for name in ("calm", "shaken"):
        (tmp_path / name).mkdir()
    calm, shaken = (ScriptedRun(temporal(), tmp_path / name) for name in ("calm", "shaken"))
    calm.go_on()
    for calls in stops:
        with pytest.raises(Stopped):
            shaken.go_on(calls)
    shaken.go_on()
    for round in (1, 2, 3, 4):
        assert pairs(shaken, round) == pairs(calm, round)
        assert shaken.ledger.manifest(round)["start"]["version"] == calm.ledger.manifest(round)["start"]["version"]


def test_phases_that_are_repeated_come_in_their_order_again() -> None:
    config = changed(temporal(), run__rounds=7)
    assert [config.phase_name(round) for round in range(1, 8)] == ["anchored", "future"] * 3 + ["anchored"]
    three = changed(config, phases={"one": phase(rounds=2), "two": phase(rounds=1)})
    assert [three.phase_name(round) for round in range(1, 8)] == ["one", "one", "two"] * 2 + ["one"]


def future(**changes: Any) -> Config:
    return with_phase("future", **changes)


def with_phase(name: str, **changes: Any) -> Config:
    config = temporal()
    return changed(config, phases={**config.phases, name: changed(config.phases[name], **changes)})


@pytest.mark.parametrize(
    ("config", "what"),
    [
        (future(generation__again=False), "has generation.again=False"),
        (future(learner__start="previous"), "learner.start=previous"),
        (future(pairing=AnchoredPairing(kind="anchored")), "pairing.kind=anchored"),
        (future(rounds=2), "phases.future takes up the round before it, but is not one round after another phase"),
        (future(prompts_per_round=3), "other prompts_per_round or another judge"),
        (future(judge=dataclasses.replace(EXPECTED, scores=("0", "5"))), "other prompts_per_round or another judge"),
        (with_phase("anchored", filter=LENGTH_MARGIN), "takes up all pairs of the phase before it"),
        (future(filter=RIP), "filter.kind=rip goes by the scores of the round"),
        (changed(base(), **FUTURE), "the configuration takes up the round before it"),
        (changed(with_phases(one=phase(rounds=1), two=phase()), run__repeat_phases=True), "run.repeat_phases=true"),
        (changed(base(), run__repeat_phases=True), "run.repeat_phases=true"),
    ],
)
def test_a_round_that_has_nothing_to_take_up_is_refused(config: Config, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_combinations(config)
    assert what in caught.value.what


def test_the_two_phases_can_run() -> None:
    check_combinations(temporal())
