"""A run that an earlier release began is resumed to the same end."""

import json
import tarfile
from pathlib import Path

import pytest
from safetensors.torch import load_file
from support.runs import finish, pair_keys, start

from roundelay.orchestrator.ledger.ledger import Ledger

pytestmark = pytest.mark.slow

# Runs that were killed in their second round; each with the model that it started from, and what the release that began
# it made of the same run undisturbed.
DATA = Path(__file__).parents[1] / "data"


@pytest.mark.parametrize(
    ("name", "notes"),
    [
        ("begun-by-0.1", ("run directory format 1", "began with roundelay 0.1.0")),
        # Before a part was one file: a judge, a filter that waits for the whole round, canaries and drift.
        ("begun-by-0.2", ("began with roundelay 0.2.0",)),
    ],
)
def test_a_run_begun_before_is_resumed_to_the_same_pairs_and_weights(
    tmp_path: Path, name: str, notes: tuple[str, ...]
) -> None:
    with tarfile.open(DATA / f"{name}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    expected = json.loads((tmp_path / "expected/pairs.json").read_text())
    run = tmp_path / name
    said = finish(start("resume", str(run), f"model.path={tmp_path}/model"))
    assert all(note in said for note in notes)
    ledger = Ledger(str(run))
    assert ledger.finished_rounds() == [0, 1, 2]
    assert json.loads(json.dumps(pair_keys(ledger, 2))) == expected["pairs"]
    weights, before, made = (
        load_file(path / "model.safetensors")
        for path in (tmp_path / "expected", run / "rounds/001/policy", run / "rounds/002/policy")
    )
    moved = sum(float((tensor - before[name]).abs().sum()) for name, tensor in weights.items())
    apart = sum(float((tensor - made[name]).abs().sum()) for name, tensor in weights.items())
    assert (
        moved > 0 and apart < 0.01 * moved
    )  # sums differ in their last bits between processors and numbers of threads
    said = finish(start("show", str(run)))
    assert str(run / "rounds/002/policy") in said
