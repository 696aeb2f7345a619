"""Killed at any point of any stage and resumed, a run ends exactly as if it had never been disturbed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.runs import finish, has, kill_in, pair_keys, prompt_ids, shards, start, tiny_overrides

from roundelay.orchestrator.ledger.ledger import Ledger

pytestmark = pytest.mark.slow


# Each stage of a round, by a sign in the run directory that it is under way. The kill falls a random moment later.
STAGES: dict[str, Callable[[Ledger], bool]] = {
    "baseline evaluation": lambda ledger: shards(ledger, 0, "heldout-rollouts") > 0,
    "sample": lambda ledger: shards(ledger, 1, "rollouts") > 0,
    "judge": lambda ledger: shards(ledger, 1, "judgments") > 1,
    "pair": lambda ledger: shards(ledger, 1, "pairs") > 2,
    "learn": lambda ledger: shards(ledger, 1, "pairs") == 6,
    "an update's checkpoint": lambda ledger: has(ledger, "rounds/001/checkpoint.json"),
    "sync": lambda ledger: has(ledger, "rounds/001/learn.json"),
    "evaluate": lambda ledger: shards(ledger, 1, "eval-rollouts") > 0,
    "second round": lambda ledger: shards(ledger, 2, "rollouts") > 0,
}


# Every stage takes several minutes of starts: `make test-long`.
@pytest.mark.parametrize("killed_in", [("judge", "sync"), pytest.param(tuple(STAGES), marks=pytest.mark.long)])
def test_killed_in_any_stage_a_resumed_run_equals_an_undisturbed_one(
    tiny_model: Path, tmp_path: Path, killed_in: tuple[str, ...]
):
    """No prompt skipped or repeated, the same pairs, bitwise the same weights, the same tracker run; and what was
    finished before a kill is never written again."""
    finish(start("run", *tiny_overrides(tiny_model, tmp_path, "calm")))
    calm, shaken = Ledger(str(tmp_path / "calm")), Ledger(str(tmp_path / "shaken"))

    overrides = tiny_overrides(tiny_model, tmp_path, "shaken", "learner.checkpoint_every_steps=1")
    tracker_ids, written = set(), {}
    for number, stage in enumerate(killed_in):
        arguments = ["resume", shaken.url] if number else ["run", *overrides]
        kill_in(stage, STAGES[stage], start(*arguments), shaken)
        tracker_ids.add(shaken.header()["tracker_run_id"])
        for path, modified in written.items():
            assert path.stat().st_mtime_ns == modified, f"{path} was written again after the kill before {stage}"
        written = {path: path.stat().st_mtime_ns for path in Path(shaken.root, "rounds").rglob("shard-*.parquet")}
    finish(start("resume", shaken.url))

    assert shaken.finished_rounds() == [0, 1, 2]
    assert len(tracker_ids) == 1
    for round in (1, 2):
        assert prompt_ids(shaken, round) == prompt_ids(calm, round)
        assert pair_keys(shaken, round) == pair_keys(calm, round)
        assert shaken.manifest(round)["policy"]["sha256"] == calm.manifest(round)["policy"]["sha256"]
        assert shaken.manifest(round)["reference"]["sha256"] == calm.manifest(round)["reference"]["sha256"]
        assert shaken.manifest(round)["data"]["dropped"] == calm.manifest(round)["data"]["dropped"]
    everything = prompt_ids(shaken, 1) + prompt_ids(shaken, 2)
    assert len(set(everything)) == len(everything) == 24
    steps = [json.loads(line) for line in Path(shaken.root, "metrics.jsonl").read_text().splitlines()]
    keys = [(row["round"], row["stage"], row.get("step")) for row in steps]
    assert len(set(keys)) == len(keys), "a step was reported twice"

    output = finish(start("resume", shaken.url))
    assert "is finished" in output
