"""Which pairs a round learns from, from which policy it starts, and in which order they come."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.configs import base, changed, phase, with_phases
from support.scripted_run import ScriptedRun, Stopped

from roundelay.orchestrator.config.schema import Config
from roundelay.orchestrator.data.records import PairingOutcome, pairs_of
from roundelay.orchestrator.round.learning_data import riffle_order, rounds_learnt


def learning(data: str, **changes: Any) -> Config:
    """Three rounds of six of the twelve prompts, in shards of two: round 3 sees those of round 1 again."""
    sizes: dict[str, Any] = {"run__rounds": 3, "run__prompts_per_round": 6, "run__prompts_per_shard": 2}
    return changed(base(), learner__data=data, learner__pairs_per_step=2, **sizes, **changes)


def pair_ids(run: ScriptedRun, *rounds: int) -> list[str]:
    return [
        f"{round}/{pair.prompt.id}"
        for round in rounds
        for pair in pairs_of(list(run.ledger.read_stage(round, "pairs", PairingOutcome)))
    ]


@pytest.mark.parametrize(
    ("data", "learnt"),
    [
        ("this_round", [[1], [2], [3]]),
        ("with_previous", [[1], [1, 2], [2, 3]]),
        ("all_rounds", [[1], [1, 2], [1, 2, 3]]),
    ],
)
def test_a_round_learns_from_the_rounds_that_it_names(tmp_path: Path, data: str, learnt: list[list[int]]) -> None:
    """Every pair of each of them once an epoch. Round 3 sees prompts of round 1 again: they are other examples."""
    run = ScriptedRun(learning(data, learner__epochs=2), tmp_path)
    run.go_on()
    for round, rounds in enumerate(learnt, start=1):
        assert run.ledger.manifest(round)["rounds_learnt"] == rounds
        found = [example.id for example in run.learner.updates[round]]
        if len(rounds) == 1:
            found = [f"{round}/{identity}" for identity in found]
        assert Counter(found) == Counter(pair_ids(run, *rounds) * 2)
    assert run.ledger.manifest(3)["learn"]["pairs_trained"] == 2 * len(pair_ids(run, *learnt[2]))


def test_the_learning_rate_is_that_of_all_examples(tmp_path: Path) -> None:
    """Progress is the share of the prompts of all rounds and epochs before an example's: from 0, in equal steps of
    1/(2·18) a prompt, dropped ones counted too."""
    run = ScriptedRun(learning("all_rounds", learner__epochs=2), tmp_path)
    run.go_on()
    progress = [example.progress for example in run.learner.updates[3]]
    assert progress == sorted(progress) and progress[0] >= 0 and progress[-1] < 1
    assert all(abs(value * 36 - round(value * 36)) < 1e-9 for value in progress)
    assert len(set(progress)) == len(progress)


@pytest.mark.parametrize(("pairs_per_step", "warmup"), [(12, 0.5), (12, 1.0), (12, 0.0), (2, 0.5), (5, 0.1)])
def test_every_step_of_a_round_has_a_learning_rate_above_zero(
    tmp_path: Path, pairs_per_step: int, warmup: float
) -> None:
    """Also a single step, which would leave the policy as it was if its warm-up began at 0."""
    config = changed(
        learning("this_round"),
        run__rounds=1,
        learner__pairs_per_step=pairs_per_step,
        learner__warmup_fraction=warmup,
    )
    run = ScriptedRun(config, tmp_path)
    run.go_on()
    rows = [json.loads(line) for line in Path(run.ledger.path("metrics.jsonl")).read_text().splitlines()]
    rates = [row["learning_rate"] for row in rows if row["stage"] == "learn"]
    assert len(rates) >= 1 and all(rate > 0 for rate in rates)


def test_the_order_is_another_one_every_epoch_and_that_of_its_seed(tmp_path: Path) -> None:
    orders = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        run = ScriptedRun(learning("all_rounds", learner__epochs=2, run__seed=seed), tmp_path / name)
        run.go_on()
        rounds = [int(example.id.split("/")[0]) for example in run.learner.updates[3]]
        orders.append((rounds[: len(rounds) // 2], rounds[len(rounds) // 2 :]))
    assert orders[0] == orders[1] != orders[2]
    assert orders[0][0] != orders[0][1]


@pytest.mark.parametrize("stop_after", [29, 31, 33])
def test_an_interrupted_update_on_several_rounds_goes_on_with_what_is_left(tmp_path: Path, stop_after: int) -> None:
    """The power goes while round 3 is sampled and learnt; what its checkpoint holds is not learnt again, and what comes
    after it is what would have come."""
    (tmp_path / "calm").mkdir()
    (tmp_path / "shaken").mkdir()
    config = learning("all_rounds", learner__checkpoint_every_steps=1, cluster__colocated=False)
    calm, shaken = ScriptedRun(config, tmp_path / "calm"), ScriptedRun(config, tmp_path / "shaken")
    calm.go_on()
    with pytest.raises(Stopped):
        shaken.go_on(stop_after)
    before = len(shaken.ledger.checkpointed_steps(3))
    assert not shaken.ledger.exists("rounds/003/learn.json")
    shaken.go_on()
    ids = [example.id for example in calm.learner.updates[3]]
    assert [example.id for example in shaken.learner.updates[3]] == ids[2 * before :]
    assert shaken.ledger.manifest(3)["learn"]["pairs_trained"] == len(ids)


def test_from_the_initial_policy_every_round_starts_there_and_samples_with_the_newest(tmp_path: Path) -> None:
    """ALMA's: trained anew from the base model every round, on all that was ever paired."""
    run = ScriptedRun(learning("all_rounds", learner__start="initial"), tmp_path)
    run.go_on()
    initial = str(Path(run.ledger.root, "initial"))
    assert [start.policy.path for start in run.learner.starts] == [initial] * 3
    for round in (1, 2, 3):
        manifest = run.ledger.manifest(round)
        assert manifest["start"]["version"] == 0
        assert manifest["samplers"]["policy"]["version"] == manifest["reference"]["version"] == round - 1
        assert manifest["policy"]["version"] == round


# ------------------------------------------------------------------------------------------------------ pure functions


def test_rounds_of_another_phase_are_not_learnt_from() -> None:
    """Phases of two, one and two rounds: all rounds of a phase are its own."""
    config = changed(
        with_phases(
            one=phase(rounds=2, learner__data="all_rounds"),
            two=phase(rounds=1, learner__data="with_previous"),
            three=phase(learner__data="all_rounds"),
        ),
        run__rounds=5,
    )
    assert [rounds_learnt(config, round) for round in range(1, 6)] == [[1], [1, 2], [3], [4], [4, 5]]


@given(st.lists(st.integers(1, 20), min_size=1, max_size=5), st.integers(0, 99))
def test_a_riffle_begins_with_the_last_round_and_holds_every_shard_once(lengths: list[int], seed: int) -> None:
    by_round = dict(enumerate(lengths, start=1))
    order = riffle_order(by_round, last=len(lengths), seed=seed)
    assert order[0] == len(lengths)
    assert Counter(order) == Counter(by_round)
    assert order == riffle_order(by_round, last=len(lengths), seed=seed)
