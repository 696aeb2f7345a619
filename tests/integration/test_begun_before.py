"""A run that an earlier release began is resumed to the same end."""

import json
import tarfile
from pathlib import Path

import pytest
from safetensors.torch import load_file
from support.runs import finish, pair_keys, start

from roundelay.orchestrator.ledger.ledger import Ledger

pytestmark = pytest.mark.slow

# Begun by roundelay 0.1.0 (run directory format 1) and killed in its second round; with the model that it started from,
# and what the release made of the same run undisturbed.
ARCHIVE = Path(__file__).parents[1] / "data" / "begun-by-0.1.tar.xz"


def test_a_run_of_the_first_format_is_resumed_to_the_same_pairs_and_weights(tmp_path: Path):
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    expected = json.loads((tmp_path / "expected/pairs.json").read_text())
    run = tmp_path / "begun-by-0.1"
    said = finish(start("resume", str(run), f"model.path={tmp_path}/model"))
    assert "run directory format 1" in said and "began with roundelay 0.1.0" in said
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
    assert "run directory format 1" in said and str(run / "rounds/002/policy") in said
