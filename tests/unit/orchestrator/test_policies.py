"""Which policy is which, and where it lies."""

from dataclasses import asdict
from pathlib import Path

from roundelay.orchestrator.ledger import Ledger
from roundelay.orchestrator.objective_config import ReferenceConfig
from roundelay.orchestrator.policies import (
    initial_policy,
    local_copy,
    newest_policy,
    policy_of,
    publish,
    reference_of,
    weights_hash,
)
from roundelay.orchestrator.records import PolicyRef


def ledger_with(tmp_path: Path, *, learnt: int, committed: int) -> Ledger:
    """A run whose rounds up to `learnt` have a policy, and up to `committed` a manifest."""
    ledger = Ledger(str(tmp_path / "run"))
    ledger.write_header({"initial_policy": {"path": "start", "sha256": "0"}})
    for round in range(committed + 1):
        ledger.commit_round(round, {})
    for round in range(1, learnt + 1):
        policy = PolicyRef(version=round, path=f"p{round}", sha256=str(round))
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
    average = PolicyRef(version=1, path="a1", sha256="a")
    learnt = ledger.read_json("rounds", "001", "learn.json")
    ledger.write_json({**learnt, "average": asdict(average)}, "rounds", "001", "learn.json")
    config = ReferenceConfig(policy="average", logps="recompute", decay=0.9)
    assert reference_of(ledger, config, 1) == initial_policy(ledger)
    assert reference_of(ledger, config, 2) == average


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
