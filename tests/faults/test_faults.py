"""A sample of the fault campaign, of every kind: a named error or the same result, never a traceback or another result.

`make faults` plays all of it.
"""

import random
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.commands import Outcome, command
from faults.damage import Damaged, damage_file, prepare
from faults.drivers import two_drivers
from faults.flips import READERS, flip_bits
from faults.kills import cut_power, kill_at, kill_at_random, operations_of, refuse_from
from faults.operations import Disk, killed
from faults.report import Report
from faults.scene import Scene, copied, difference, make_scene, result

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def damaged(scene: Scene) -> Damaged:
    return prepare(scene, scene.folder / "damaged")


@pytest.fixture(scope="module")
def operations(scene: Scene) -> list[str]:
    return operations_of(scene, scene.folder)


@pytest.fixture
def report(tmp_path: Path) -> Iterator[Report]:
    """Nothing in it may be wrong."""
    report = Report(log=tmp_path / "faults.log")
    yield report
    assert not report.wrong, report.log.read_text()


# A shard of a finished round and of the unfinished one, reports, models and what all of a run depends on.
FILES = (
    "run.yaml",
    "rounds/001/learn.json",
    "rounds/002/policy/model.safetensors",
    "rounds/003/rollouts/shard-00000.parquet",
)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named_or_does_no_harm(damaged: Damaged, report: Report, name: str) -> None:
    """By `resume`, `show`, `compare` and `check`; what `check --heal` sets aside is computed again, and is the same."""
    damage_file(damaged, name, report)
    assert sum(sum(counts.values()) for counts in report.counts.values()) >= 30


def test_no_flipped_bit_is_read_as_something_else(damaged: Damaged, report: Report) -> None:
    flip_bits(damaged.run, report, flips=40)
    assert len(report.counts) == len(READERS)


def test_a_run_that_is_killed_at_any_operation_goes_on(
    scene: Scene, report: Report, operations: list[str], tmp_path: Path
) -> None:
    kill_at(scene, tmp_path, report, random.Random(0).sample(range(1, len(operations) + 1), 4))


def test_a_run_that_is_killed_at_random_moments_goes_on(scene: Scene, report: Report, tmp_path: Path) -> None:
    kill_at_random(scene, tmp_path, report, 3)


def test_after_a_power_failure_a_run_goes_on(
    scene: Scene, report: Report, operations: list[str], tmp_path: Path
) -> None:
    """Whether the names that were not synced are on the disk, or none of them."""
    cut_power(scene, tmp_path, report, random.Random(1).sample(range(1, len(operations) + 1), 3))


def test_a_disk_that_refuses_is_told_and_the_run_goes_on(
    scene: Scene, report: Report, operations: list[str], tmp_path: Path
) -> None:
    refuse_from(scene, tmp_path, report, random.Random(2).sample(range(1, len(operations) + 1), 1))


def test_of_two_drivers_one_works_and_the_other_is_told(
    scene: Scene, damaged: Damaged, report: Report, tmp_path: Path
) -> None:
    two_drivers(scene, damaged.run, tmp_path / "drivers", report, firsts=("resume",), at_once=1)


# The campaign itself -------------------------------------------------------------------------------------------------


def test_what_is_wrong_is_counted_as_wrong(damaged: Damaged, tmp_path: Path) -> None:
    report = Report(log=tmp_path / "faults.log")
    run = copied(damaged.run, damaged.place / "run")
    (run / "rounds/002/pairs/shard-00000.parquet").write_bytes(b"other")
    assert difference(result(run), result(damaged.run)) == "another result: rounds/002/pairs/shard-00000.parquet"
    report.add("a row", "another result: metrics.jsonl", "a case", Outcome(code=0, output="done"))
    report.add("a row", "held", "another case")
    assert report.wrong == ["a case: another result: metrics.jsonl"]
    assert "| a row | 1 | 0 | 1 |" in report.table()


def test_a_command_that_is_killed_and_one_that_fails_are_told_apart(scene: Scene, tmp_path: Path) -> None:
    failed = command("resume", str(tmp_path / "nowhere"))
    assert failed.told and failed.code == 2
    ended = scene.begin(tmp_path / "root", killed(tmp_path / "root", lambda number, kind, path: True))
    assert ended.code == -signal.SIGKILL and not ended.told


def test_every_operation_of_a_run_is_seen(operations: list[str]) -> None:
    """Each file of a round is synced, gets its name, and then its directory is synced."""
    kinds = [(line.split()[0], re.sub(r"\.partial-\w+", "", line.split()[1])) for line in operations]
    manifest = kinds.index(("rename", "run/rounds/002/manifest.json"))
    assert kinds[manifest - 1] == ("fsync", "run/rounds/002/manifest.json")
    assert ("fsync", "run/rounds/002") in kinds[manifest + 1 :]


def test_a_power_failure_leaves_what_was_synced(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    disk = Disk(root)
    (root / "a" / "synced").write_text("old")
    disk.synced(str(root / "a" / "synced"))
    disk.synced(str(root / "a"))
    (root / "a" / "synced").write_text("new")
    (root / "a" / "named").write_text("x")
    for way in ("strict", "eager"):
        disk.write(tmp_path / way, strict=way == "strict")
    assert {p.name: p.read_text() for p in (tmp_path / "strict/a").iterdir()} == {"synced": "old"}
    assert {p.name: p.read_text() for p in (tmp_path / "eager/a").iterdir()} == {"synced": "old", "named": ""}
