"""Which policy is which, and where it lies."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from support.configs import GROUP, ON_POLICY, PPO, REWARD_MODEL, base, changed, phase, with_phases

from roundelay.orchestrator.config.schema import Config
from roundelay.orchestrator.data.records import PolicyRef
from roundelay.orchestrator.ledger.checksums import weights_hash
from roundelay.orchestrator.ledger.ledger import Ledger
from roundelay.orchestrator.ledger.model_files import local_copy, publish
from roundelay.orchestrator.ledger.policies import (
    critic_of,
    initial_policy,
    judging_models,
    newest_policy,
    optimizer_of,
    policy_of,
    reference_of,
    reward_model_of,
)
from roundelay.orchestrator.parts.objective import ReferenceConfig


def ledger_with(tmp_path: Path, *, learnt: int, committed: int) -> Ledger:
    """A run whose rounds up to `learnt` have a policy, and up to `committed` a manifest."""
    ledger = Ledger(str(tmp_path / "run"))
    ledger.write_header({"initial_policy": {"path": "/start", "sha256": "0"}})
    for round in range(committed + 1):
        ledger.commit_round(round, {})
    for round in range(1, learnt + 1):
        policy = PolicyRef(version=round, path=f"/p{round}", sha256=str(round))
        ledger.write_json({"policy": asdict(policy)}, "rounds", f"{round:03d}", "learn.json")
    return ledger


def test_a_resumed_run_goes_on_with_the_newest_learnt_policy(tmp_path: Path):
    """A policy whose round is not evaluated yet counts: it is not learnt twice."""
    assert newest_policy(ledger_with(tmp_path / "a", learnt=0, committed=0)).version == 0
    assert newest_policy(ledger_with(tmp_path / "b", learnt=1, committed=1)).version == 1
    assert newest_policy(ledger_with(tmp_path / "c", learnt=2, committed=1)).version == 2


def test_a_reference_is_named_by_the_ledger_not_by_what_is_loaded(tmp_path: Path):
    """While round 2 is learnt, or learnt again, previous is round 1's policy and initial is the model of the start."""
    ledger = ledger_with(tmp_path, learnt=2, committed=1)
    previous = ReferenceConfig(policy="previous", logps="recompute")
    assert reference_of(ledger, previous, 2) == policy_of(ledger, 1)
    assert reference_of(ledger, ReferenceConfig(policy="initial", logps="recompute"), 2) == initial_policy(ledger)
    assert reference_of(ledger, ReferenceConfig(policy="none", logps="recompute"), 2) is None


def test_an_average_starts_as_the_initial_policy_and_is_then_the_round_befores(tmp_path: Path):
    ledger = ledger_with(tmp_path, learnt=1, committed=1)
    average = PolicyRef(version=1, path="/a1", sha256="a")
    learnt = ledger.read_json("rounds", "001", "learn.json")
    ledger.write_json({**learnt, "average": asdict(average)}, "rounds", "001", "learn.json")
    config = ReferenceConfig(policy="average", logps="recompute", decay=0.9)
    assert reference_of(ledger, config, 1) == initial_policy(ledger)
    assert reference_of(ledger, config, 2) == average


# -------------------------------------------------------------------------------- reward models, critics and optimizers


def made(round: int, name: str) -> PolicyRef:
    return PolicyRef(version=round, path=f"/{name}{round}", sha256=f"{name}{round}")


def ledger_of(tmp_path: Path, *rounds: str) -> Ledger:
    """A run whose learnt rounds, from 1, made what their word says: "policy", "reward_model", "critic" (with a policy);
    or "nothing" beside a policy. Each has its optimizer beside it."""
    ledger = ledger_with(tmp_path, learnt=0, committed=0)
    policy = asdict(initial_policy(ledger))
    for round, word in enumerate(rounds, start=1):
        policy = policy if word == "reward_model" else asdict(made(round, "policy"))
        summary: dict[str, Any] = {"policy": policy, "average": None, "reward_model": None, "critic": None}
        if word in summary:
            summary[word] = asdict(made(round, word))
        ledger.write_json(
            {**summary, "optimizer": asdict(made(round, "optimizer"))}, "rounds", f"{round:03d}", "learn.json"
        )
    return ledger


def test_the_newest_reward_model_judges_until_a_newer_one_is_trained(tmp_path: Path):
    ledger = ledger_of(tmp_path, "policy", "reward_model", "policy", "policy", "reward_model")
    found = [reward_model_of(ledger, round) for round in range(7)]
    assert found == [None, None, *[made(2, "reward_model")] * 3, *[made(5, "reward_model")] * 2]


def test_judges_compare_the_policy_that_samples_with_the_one_it_was_learnt_from_and_the_first(tmp_path: Path):
    """Round 2 trains a reward model: the policy after it is still round 1's, and what that was learnt from is the
    initial one. The initial policy was learnt from none."""
    ledger = ledger_of(tmp_path, "policy", "reward_model", "policy", "policy")
    names = ("policy", "previous", "initial", "reward_model")
    initial, reward_model = initial_policy(ledger), made(2, "reward_model")

    def expected(policy: PolicyRef, previous: PolicyRef, reward_model: PolicyRef | None) -> dict[str, PolicyRef]:
        found = {"policy": policy, "previous": previous, "initial": initial}
        return found | ({"reward_model": reward_model} if reward_model else {})

    first, third, fourth = (made(round, "policy") for round in (1, 3, 4))
    policies = (initial, first, first, third, fourth)
    assert [judging_models(ledger, names, policy, round) for round, policy in enumerate(policies)] == [
        expected(initial, initial, None),
        expected(first, initial, None),
        expected(first, initial, reward_model),
        expected(third, first, reward_model),
        expected(fourth, third, reward_model),
    ]


def test_a_users_model_is_known_by_what_the_run_began_with(tmp_path: Path):
    ledger = ledger_of(tmp_path, "policy")
    ledger.write_header({**ledger.header(), "models": {"org/dpo": {"path": "/cache/dpo", "sha256": "abc"}}})
    expected = PolicyRef(version=0, path="/cache/dpo", sha256="abc")
    assert judging_models(ledger, ("org/dpo", "initial"), made(1, "policy"), 1) == {
        "org/dpo": expected,
        "initial": initial_policy(ledger),
    }


def test_a_round_that_is_not_learnt_has_made_no_reward_model(tmp_path: Path):
    """Its directory may hold one already: with learn.json it counts."""
    ledger = ledger_of(tmp_path, "policy")
    ledger.write_bytes(b"weights", "rounds/002/reward_model/model.safetensors")
    assert reward_model_of(ledger, 2) is None


def test_a_round_that_trains_a_reward_model_leaves_the_policy_as_it_was(tmp_path: Path):
    """The next round starts from it by its own identity, and it is the newest policy of the run."""
    ledger = ledger_of(tmp_path, "policy", "reward_model")
    ledger.commit_round(1, {})
    assert policy_of(ledger, 2) == policy_of(ledger, 1) == newest_policy(ledger) == made(1, "policy")
    assert reference_of(ledger, ReferenceConfig(policy="previous", logps="recompute"), 3) == made(1, "policy")


def test_a_critic_goes_on_from_the_round_before_else_starts_as_the_newest_reward_model(tmp_path: Path):
    """Round 3 is the first of PPO; round 4 goes on with its critic; after round 5, which has none, the reward model
    again. Without one a critic starts from the policy: there is no model to name."""
    ledger = ledger_of(tmp_path / "a", "policy", "reward_model", "critic", "critic", "policy", "critic")
    assert critic_of(ledger, 3) == made(2, "reward_model")
    assert critic_of(ledger, 4) == made(3, "critic")
    assert critic_of(ledger, 5) == made(4, "critic")
    assert critic_of(ledger, 6) == made(2, "reward_model")
    assert critic_of(ledger, 1) is None
    assert critic_of(ledger_of(tmp_path / "b", "policy"), 2) is None


def carried(optimizer: str = "carried") -> Config:
    """A reward model in round 1, then two phases of PPO: rounds 2 and 3, and from 4 on."""
    ppo: Any = {"objective": PPO, "pairing": GROUP, "generation__sampling": ON_POLICY}
    return changed(
        with_phases(
            rm=phase(rounds=1, objective=REWARD_MODEL, learner__optimizer=optimizer),
            first=phase(rounds=2, learner__optimizer=optimizer, **ppo),
            second=phase(learner__optimizer=optimizer, **ppo),
        ),
        run__rounds=6,
    )


def test_an_optimizer_is_carried_on_within_a_phase_and_every_phase_begins_a_new_one(tmp_path: Path):
    """Another phase trains another model, or by another rate."""
    ledger = ledger_of(tmp_path, "reward_model", *["critic"] * 4)
    found = [optimizer_of(ledger, carried(), round) for round in range(1, 7)]
    assert found == [None, None, made(2, "optimizer"), None, made(4, "optimizer"), made(5, "optimizer")]
    assert [optimizer_of(ledger, carried("fresh"), round) for round in range(1, 7)] == [None] * 6


def test_in_a_recipe_of_a_single_phase_all_rounds_but_the_first_go_on(tmp_path: Path):
    ledger = ledger_of(tmp_path, "policy", "policy")
    config = changed(base(), learner__optimizer="carried")
    assert [optimizer_of(ledger, config, round) for round in (1, 2, 3)] == [
        None,
        made(1, "optimizer"),
        made(2, "optimizer"),
    ]
    assert optimizer_of(ledger, base(), 2) is None


def test_an_average_after_a_phase_without_one_starts_as_the_initial_policy(tmp_path: Path):
    """As it would if its own phase were the first: a reward model in round 1, PPO with an averaged reference after."""
    ledger = ledger_of(tmp_path, "reward_model")
    config = ReferenceConfig(policy="average", logps="recompute", decay=0.9)
    assert reference_of(ledger, config, 2) == initial_policy(ledger)


# ---------------------------------------------------------------------------------------------------------------- files


def test_a_policy_at_a_url_is_published_and_fetched_whole(tmp_path: Path):
    """What comes back has the hash of what was written; a local path is its own copy."""
    source = tmp_path / "policy"
    source.mkdir()
    (source / "model.safetensors").write_bytes(b"weights")
    (source / "config.json").write_text("{}")
    publish(str(source), "memory://runs/demo/rounds/001/policy")
    fetched = local_copy("memory://runs/demo/rounds/001/policy")
    assert weights_hash(fetched) == weights_hash(str(source))
    assert (Path(fetched) / "config.json").read_text() == "{}"
    assert local_copy(str(source)) == str(source)
    (source / "model.safetensors").write_bytes(b"other")
    assert weights_hash(fetched) != weights_hash(str(source))
