"""`check` names every damaged file of a run, and healing sets aside exactly what a resume computes again."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.configs import base, changed
from support.scripted_run import ScriptedRun, Stopped

from roundelay.orchestrator.data.records import PairingOutcome, Rollout
from roundelay.orchestrator.ledger.checking import Damage, check_run
from roundelay.orchestrator.ledger.healing import can_heal, heal
from roundelay.orchestrator.ledger.ledger import Ledger


def scripted(directory: Path) -> ScriptedRun:
    directory.mkdir()
    return ScriptedRun(changed(base(), run__rounds=2, run__prompts_per_round=4, run__prompts_per_shard=2), directory)


@pytest.fixture
def finished(tmp_path: Path) -> Ledger:
    run = scripted(tmp_path / "finished")
    run.go_on()
    return run.ledger


@pytest.fixture
def calm(tmp_path: Path) -> Ledger:
    """The run as it ends when nothing happens to it."""
    run = scripted(tmp_path / "calm")
    run.go_on()
    return run.ledger


def damages(ledger: Ledger) -> list[Damage]:
    return check_run(Ledger(ledger.url), lambda part: None)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_run_as_it_was_written_has_no_damage(finished: Ledger) -> None:
    assert damages(finished) == []


def test_every_file_of_a_run_is_verified(finished: Ledger) -> None:
    """Whichever file is changed, it is named (a checksum beside a shard by its shard); nothing else is."""
    root = Path(finished.root)
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and path.name not in ("run.lock",)]
    verified = [path for path in files if "initial" not in path.parts]
    assert len(verified) > 40
    for path in verified:
        whole = path.read_bytes()
        path.write_bytes(bytes(len(whole)))
        named = {Path(damage.path).name for damage in damages(finished)}
        expected = path.name[1:].replace(".json", ".parquet") if path.name.startswith("_shard") else path.name
        parent = path.parent.name if path.parent.name in ("policy",) else expected
        assert named in ({expected}, {parent}), path
        path.write_bytes(whole)
    assert damages(finished) == []


def test_what_depends_on_a_file_is_said(finished: Ledger) -> None:
    flip(Path(finished.root, "rounds/001/pairs/shard-00000.parquet"))
    (damage,) = damages(finished)
    assert damage.finished and "round 1" in damage.depends
    assert not can_heal(finished, damage)


@pytest.mark.parametrize(
    "damaged",
    [
        "rounds/002/rollouts/shard-00000.parquet",
        "rounds/002/pairs/shard-00000.parquet",
        "rounds/002/learn.json",
        "rounds/002/policy/made-of.json",
        "rounds/002/eval-rollouts/shard-00000.parquet",
        "rounds/001/manifest.json",
    ],
)
@pytest.mark.parametrize("how", [flip, lambda path: path.write_bytes(b"")], ids=["flipped", "emptied"])
def test_a_healed_run_is_resumed_to_the_same_end(
    tmp_path: Path, calm: Ledger, damaged: str, how: Callable[[Path], object]
) -> None:
    """Its second round was interrupted before its manifest (the first one's manifest: before the second round)."""
    run = scripted(tmp_path / "shaken")
    run.go_on()
    shutil.rmtree(Path(run.ledger.root, "rounds/002")) if "001" in damaged else run.ledger.remove(
        "rounds/002/manifest.json"
    )
    how(Path(run.ledger.root, damaged))
    found = damages(run.ledger)
    assert [damage.path for damage in found] in ([damaged], [str(Path(damaged).parent)])
    moved = heal(run.ledger, found)
    assert moved and damages(run.ledger) == []
    assert all(Path(run.ledger.root).glob(f"damaged/*/{path}") for path in moved)
    run.go_on()
    for round in (0, 1, 2):
        for stage, cls in (("rollouts", Rollout), ("pairs", PairingOutcome), ("eval-rollouts", Rollout)):
            ours, theirs = (list(one.read_stage(round, stage, cls)) for one in (run.ledger, calm))
            assert ours == theirs
    assert run.ledger.manifest(2)["policy"]["sha256"] == calm.manifest(2)["policy"]["sha256"]


def test_what_was_computed_of_other_shards_is_kept(tmp_path: Path) -> None:
    """One damaged shard of an unfinished round does not cost the others."""
    run = scripted(tmp_path / "run")
    with pytest.raises(Stopped):
        run.go_on(stop_after=12)
    names = {path: path.stat().st_mtime_ns for path in Path(run.ledger.root, "rounds").rglob("shard-*.parquet")}
    newest = max(names, key=lambda path: (path.parts, names[path]))
    flip(newest)
    heal(run.ledger, damages(run.ledger))
    left = {path for path in names if path.exists()}
    assert newest not in left and len(left) >= len(names) - 3
