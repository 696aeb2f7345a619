"""What is read of a run directory is what was written there, or an error that names the file."""

import errno
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from roundelay.orchestrator.data.records import Dropped, PairLogps, PolicyRef, Shard
from roundelay.orchestrator.errors import ConfigError, DamagedFile, RunError
from roundelay.orchestrator.ledger.checking import check_manifests
from roundelay.orchestrator.ledger.checksums import differing_files, model_files, sealed, unsealed
from roundelay.orchestrator.ledger.ledger import Ledger
from roundelay.orchestrator.ledger.model_files import verified_copy
from roundelay.orchestrator.ledger.policies import initial_policy, named, policy_of, read_ref, recorded

ROWS = [PairLogps(prompt_id=f"p{index}", chosen=-1.5 * index, rejected=-2.25) for index in range(12)]
SHARD = Shard(round=1, index=0, prompts=(), split="train")
OTHER = Shard(round=1, index=1, prompts=(), split="train")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(str(tmp_path / "run"))
    ledger.create(
        {"config": {"run": {"seed": 0}}, "tracker_run_id": "aa", "initial_policy": {"path": "/m", "sha256": ""}}
    )
    ledger.write_shard("pairs", SHARD, PairLogps, ROWS)
    ledger.write_shard("pairs", OTHER, PairLogps, ROWS[:3])
    return ledger


def file_of(ledger: Ledger, *parts: str) -> Path:
    return Path(ledger.root, *parts)


def shard_file(ledger: Ledger, index: int = 0) -> Path:
    return file_of(ledger, f"rounds/001/pairs/shard-{index:05d}.parquet")


# Ways in which a file comes to be another one.
DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "emptied": lambda path: path.write_bytes(b""),
    "zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "replaced by other bytes": lambda path: path.write_bytes(b"x" * path.stat().st_size),
    "one byte longer": lambda path: path.write_bytes(path.read_bytes() + b"\n "),
}


# --------------------------------------------------------------------------------------------------------------- shards


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_shard_is_an_error_that_names_it(ledger: Ledger, damage: Callable[[Path], object]) -> None:
    damage(shard_file(ledger))
    for read in (
        lambda: ledger.read_shard("pairs", SHARD, PairLogps),
        lambda: list(ledger.read_stage(1, "pairs", PairLogps)),
        lambda: ledger.stage_hash(1, "pairs"),
    ):
        with pytest.raises(DamagedFile) as caught:
            read()
        assert str(shard_file(ledger)) in caught.value.what and "roundelay check" in caught.value.remedy


def test_every_flipped_bit_of_a_shard_is_noticed(ledger: Ledger) -> None:
    whole, generator = shard_file(ledger).read_bytes(), random.Random(0)
    for _ in range(300):
        place, bit = generator.randrange(len(whole)), generator.randrange(8)
        flipped = bytearray(whole)
        flipped[place] ^= 1 << bit
        shard_file(ledger).write_bytes(flipped)
        with pytest.raises(DamagedFile):
            ledger.read_shard("pairs", SHARD, PairLogps)
    shard_file(ledger).write_bytes(whole)
    assert ledger.read_shard("pairs", SHARD, PairLogps) == ROWS


def test_another_shard_under_a_shards_name_is_noticed_also_with_its_checksum(ledger: Ledger) -> None:
    shutil.copy(shard_file(ledger, 1), shard_file(ledger, 0))
    with pytest.raises(DamagedFile, match="checksum differs"):
        ledger.read_shard("pairs", SHARD, PairLogps)
    shutil.copy(
        file_of(ledger, "rounds/001/pairs/_shard-00001.json"), file_of(ledger, "rounds/001/pairs/_shard-00000.json")
    )
    with pytest.raises(DamagedFile, match=r"by its checksum it is rounds/001/pairs/shard-00001\.parquet"):
        ledger.read_shard("pairs", SHARD, PairLogps)


def test_a_shard_of_another_run_is_noticed_also_with_its_checksum(ledger: Ledger, tmp_path: Path) -> None:
    other = Ledger(str(tmp_path / "other"))
    other.create({"config": {}, "tracker_run_id": "bb"})
    other.write_shard("pairs", SHARD, PairLogps, ROWS[:1])
    shutil.copytree(file_of(other, "rounds"), file_of(ledger, "rounds"), dirs_exist_ok=True)
    with pytest.raises(DamagedFile, match="of run bb"):
        ledger.read_shard("pairs", SHARD, PairLogps)


def test_a_shard_whose_checksum_is_gone_or_garbled_is_not_trusted(ledger: Ledger) -> None:
    beside = file_of(ledger, "rounds/001/pairs/_shard-00000.json")
    beside.write_text("{")
    with pytest.raises(DamagedFile, match="is no checksum"):
        ledger.read_shard("pairs", SHARD, PairLogps)
    beside.unlink()
    with pytest.raises(DamagedFile, match="is gone"):
        ledger.read_shard("pairs", SHARD, PairLogps)


def test_a_shard_that_is_gone_is_made_again_unless_its_round_is_finished(ledger: Ledger) -> None:
    shard_file(ledger, 1).unlink()
    assert ledger.read_shard("pairs", OTHER, PairLogps) is None
    ledger.write_shard("pairs", OTHER, PairLogps, ROWS[:3])
    ledger.commit_round(1, {"stage_shards": {"pairs": 2}})
    shard_file(ledger, 1).unlink()
    with pytest.raises(DamagedFile, match="gone from a finished round"):
        ledger.read_shard("pairs", OTHER, PairLogps)
    with pytest.raises(DamagedFile, match=r"shard-00001\.parquet is damaged: it is gone from a finished round"):
        list(ledger.read_stage(1, "pairs", PairLogps))


@pytest.mark.parametrize("name", ["learn.json", "manifest.json"])
def test_another_rounds_file_and_another_runs_are_damage(ledger: Ledger, tmp_path: Path, name: str) -> None:
    """Whole as they are: their checksums say where they belong."""
    other = Ledger(str(tmp_path / "other"))
    other.create({**ledger.header(), "tracker_run_id": "bb"})
    for round in (1, 2):
        ledger.write_json({"a": round}, f"rounds/00{round}", name)
    other.write_json({"a": 1}, "rounds/001", name)
    mine = file_of(ledger, "rounds/001", name)
    for whole in (file_of(ledger, "rounds/002", name), file_of(other, "rounds/001", name)):
        mine.write_bytes(whole.read_bytes())
        with pytest.raises(DamagedFile, match=f"rounds/001/{name} is damaged: its checksum differs"):
            ledger.read_json("rounds/001", name)


def test_what_a_finished_round_is_known_by_cannot_go_unnoticed(ledger: Ledger) -> None:
    """An update's report in a finished round, and the manifest of a round before one that began. A resume writes the
    newest one again."""
    for round in (0, 1):
        ledger.commit_round(round, {})
    with pytest.raises(DamagedFile, match=r"rounds/001/learn\.json is damaged: it is gone from a finished round"):
        policy_of(ledger, 1)
    check_manifests(ledger)
    for name, resuming in (("000", True), ("001", False)):
        whole = file_of(ledger, f"rounds/{name}/manifest.json").read_bytes()
        file_of(ledger, f"rounds/{name}/manifest.json").unlink()
        file_of(ledger, "rounds/002").mkdir(exist_ok=True)
        with pytest.raises(DamagedFile, match=f"rounds/{name}/manifest.json is damaged: it is gone from a finished"):
            check_manifests(ledger, resuming=resuming)
        if not resuming:
            check_manifests(ledger, resuming=True)
        file_of(ledger, f"rounds/{name}/manifest.json").write_bytes(whole)


def test_the_name_of_metrics_is_on_the_disk_before_a_manifest_is(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is appended to, and no file that is renamed to its place: its directory is synced for it."""
    synced: list[str] = []

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    ledger.append_metrics([{"round": 1, "stage": "round"}])
    monkeypatch.setattr(os, "fsync", fsync)
    ledger.commit_round(1, {})
    assert synced.index(ledger.path("metrics.jsonl")) < synced.index(ledger.root)
    assert synced.index(ledger.root) < synced.index(ledger.path("rounds/001"))


def test_a_disk_that_refuses_to_delete_is_told(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, **_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(RunError, match=r"rounds/001/pairs: Read-only file system[\s\S]*writable"):
        ledger.remove("rounds/001/pairs")


def test_records_of_another_kind_are_damage_and_no_traceback(ledger: Ledger) -> None:
    with pytest.raises(DamagedFile, match="holds no Dropped records"):
        ledger.read_shard("pairs", SHARD, Dropped)


def test_who_reads_a_stages_directory_as_one_table_sees_shards_alone(ledger: Ledger) -> None:
    import pyarrow.dataset as dataset

    assert dataset.dataset(file_of(ledger, "rounds/001/pairs")).to_table().num_rows == len(ROWS) + 3


# ----------------------------------------------------------------------------------------------- JSON, YAML and metrics


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("name", ["learn.json", "manifest.json", "checkpoint.json"])
def test_a_damaged_json_file_is_an_error_that_names_it(
    ledger: Ledger, name: str, damage: Callable[[Path], object]
) -> None:
    value = {"policy": {"version": 1}, "loss": 0.1}
    ledger.write_json(value, "rounds/001", name)
    damage(file_of(ledger, "rounds/001", name))
    try:
        assert ledger.read_json("rounds/001", name) == value  # a space at the end says nothing else
    except DamagedFile as error:
        assert str(file_of(ledger, "rounds/001", name)) in error.what


def test_a_number_that_was_changed_in_a_json_file_is_noticed(ledger: Ledger) -> None:
    ledger.write_json({"learning_rate": 0.001}, "rounds/001", "learn.json")
    file = file_of(ledger, "rounds/001/learn.json")
    file.write_text(file.read_text().replace("0.001", "0.002"))
    with pytest.raises(DamagedFile, match="checksum differs"):
        ledger.read_json("rounds/001", "learn.json")


def test_a_json_file_without_a_checksum_is_not_trusted(ledger: Ledger) -> None:
    file_of(ledger, "rounds/001/learn.json").write_text("{}")
    with pytest.raises(DamagedFile, match="carries no checksum"):
        ledger.read_json("rounds/001", "learn.json")


@pytest.mark.parametrize("damage", [*DAMAGE.values()][:4], ids=[*DAMAGE][:4])
def test_a_damaged_run_yaml_is_an_error_that_names_it(ledger: Ledger, damage: Callable[[Path], object]) -> None:
    damage(file_of(ledger, "run.yaml"))
    with pytest.raises(DamagedFile, match=r"run\.yaml"):
        Ledger(ledger.url).header()


def test_a_seed_that_was_edited_in_run_yaml_is_noticed(ledger: Ledger) -> None:
    file = file_of(ledger, "run.yaml")
    file.write_text(file.read_text().replace("seed: 0", "seed: 1"))
    with pytest.raises(DamagedFile, match="checksum differs"):
        ledger.header()


def test_run_yaml_may_be_laid_out_otherwise(ledger: Ledger) -> None:
    """A checksum is over what it says: comments and order are no damage."""
    before, file = ledger.header(), file_of(ledger, "run.yaml")
    file.write_text("# a note\n" + yaml.safe_dump(yaml.safe_load(file.read_text()), sort_keys=True))
    assert ledger.header() == before


def test_a_format_from_the_future_is_refused_with_the_version_that_reads_it(ledger: Ledger) -> None:
    ledger.write_header({**ledger.header(), "format": 3, "code_version": "9.0"})
    with pytest.raises(ConfigError, match="format 3") as caught:
        Ledger(ledger.url).header()
    assert "roundelay 9.0" in caught.value.remedy


def test_a_broken_line_among_metrics_is_noticed_and_a_half_written_last_one_is_not_damage(ledger: Ledger) -> None:
    ledger.append_metrics([{"round": 1, "stage": "learn", "step": step} for step in (1, 2)])
    file = file_of(ledger, "metrics.jsonl")
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"round": 1, "sta')
    assert [row["step"] for _, row in ledger.metrics()] == [1, 2]
    file.write_bytes(whole.replace(b'"step": 1', b'"step": 1}'))
    with pytest.raises(DamagedFile, match="line 1 is no row"):
        ledger.metrics()


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()))
def test_what_is_sealed_is_read_back_through_json(value: dict[str, object]) -> None:
    value.pop("sha256", None)
    if any(isinstance(item, float) and abs(item) == float("inf") for item in value.values()):
        return
    assert unsealed(json.loads(json.dumps(sealed(value, "here"))), "here", "file") == value


# --------------------------------------------------------------------------------------------------------------- models


@pytest.fixture
def model(tmp_path: Path) -> Path:
    directory = tmp_path / "model"
    (directory / "additional_chat_templates").mkdir(parents=True)
    for name in ("model.safetensors", "config.json", "tokenizer.json", "generation_config.json", "chat_template.jinja",
                 "additional_chat_templates/rag.jinja", "README.md"):  # fmt: skip
        (directory / name).write_text(name)
    return directory


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "tokenizer.json", "generation_config.json", "chat_template.jinja",
             "additional_chat_templates/rag.jinja"],
)  # fmt: skip
def test_a_model_is_loaded_only_if_each_file_that_decides_what_it_is_is_as_recorded(model: Path, name: str) -> None:
    ref = PolicyRef(version=1, path=str(model), sha256="0", files=model_files(model))
    (model / name).write_text("other")
    with pytest.raises(DamagedFile, match=f"{name} was changed"):
        verified_copy(ref)
    (model / name).unlink()
    with pytest.raises(DamagedFile, match=f"{name} is gone"):
        verified_copy(ref)
    (model / name).write_text(name)
    assert verified_copy(ref) == str(model)


def test_a_file_that_was_added_to_a_model_is_named_if_it_decides_what_the_model_is(model: Path) -> None:
    files = model_files(model)
    (model / "LICENSE").write_text("free")
    assert differing_files(model, files) == []
    (model / "added_tokens.json").write_text("{}")
    assert differing_files(model, files) == ["added_tokens.json was added"]


def test_a_model_directory_that_is_gone_is_named(model: Path) -> None:
    ref = PolicyRef(version=1, path=str(model), sha256="0", files=model_files(model))
    shutil.rmtree(model)
    with pytest.raises(DamagedFile, match="the directory is gone"):
        verified_copy(ref)


# ---------------------------------------------------------------------------------------------------- where a run lies


def test_a_moved_run_finds_its_own_models_and_keeps_those_of_others(ledger: Ledger, tmp_path: Path) -> None:
    """Format 2 writes relative paths; the absolute ones of format 1 are read as the round that they name."""
    made = PolicyRef(version=1, path=ledger.model_path(1, "policy"), sha256="a", files={"config.json": "b"})
    ledger.write_json({"policy": recorded(ledger, made)}, "rounds/001", "learn.json")
    assert ledger.read_json("rounds/001/learn.json")["policy"]["path"] == "rounds/001/policy"
    old = {"version": 2, "path": "/old/place/runs/a/rounds/002/policy", "sha256": "c"}
    ledger.write_json({"policy": old}, "rounds/002", "learn.json")
    moved = Ledger(str(shutil.move(ledger.root, tmp_path / "elsewhere")))
    for round in (1, 2):
        policy = policy_of(moved, round)
        assert policy is not None and policy.path == str(tmp_path / f"elsewhere/rounds/00{round}/policy")
    found = policy_of(moved, 1)
    assert found is not None and found == read_ref(moved, named(moved, made)) and found.files == made.files
    initial = {"path": "/runs/b/rounds/002/policy", "sha256": "d"}  # another run's, which this one began from
    moved.write_header({**moved.header(), "initial_policy": initial})
    assert initial_policy(moved).path == "/runs/b/rounds/002/policy"


# ------------------------------------------------------------------------------------------------------------- the disk


def test_a_run_directory_that_is_removed_or_renamed_is_not_written_anew(ledger: Ledger, tmp_path: Path) -> None:
    from roundelay.orchestrator.ledger.lease import held

    with held(ledger.root) as lease:
        ledger.lease = lease
        ledger.write_json({}, "rounds/001/learn.json")
        Path(ledger.root).rename(tmp_path / "renamed")
        for write in (
            lambda: ledger.write_json({}, "rounds/001/manifest.json"),
            lambda: ledger.append_metrics([{"round": 1, "stage": "learn"}]),
        ):
            with pytest.raises(RunError, match="removed, renamed or replaced"):
                write()
        assert not Path(ledger.root).exists()
        shutil.copytree(tmp_path / "renamed", ledger.root)  # a copy in its place is another directory
        with pytest.raises(RunError, match="removed, renamed or replaced"):
            ledger.write_json({}, "rounds/001/manifest.json")


def test_a_name_that_is_too_long_for_the_disk_is_said(ledger: Ledger) -> None:
    with pytest.raises(RunError, match="File name too long") as caught:
        ledger.write_json({}, "x" * 300, "learn.json")
    assert "shorter" in caught.value.remedy


def test_what_the_system_refuses_to_safetensors_is_said_with_path_and_remedy(tmp_path: Path) -> None:
    """Which has an error of its own, no OSError, for a full disk."""
    import torch
    from safetensors.torch import save_file

    from roundelay.orchestrator.ledger.durable import explained

    with pytest.raises(RunError, match="No such file"), explained(str(tmp_path)):
        save_file({"a": torch.zeros(1)}, str(tmp_path / "absent" / "model.safetensors"))


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "free some space"), (errno.EROFS, "writable"), (errno.EMFILE, "ulimit -n"), (errno.EIO, "disk")],
)
def test_what_a_disk_refuses_is_said_with_the_file_and_the_remedy(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    def refuse(*args: object, **named: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(RunError, match=os.strerror(number)) as caught:
        ledger.write_json({}, "rounds/001", "learn.json")
    assert str(file_of(ledger, "rounds/001/learn.json")) in caught.value.what
    assert remedy in caught.value.remedy and "resume" in caught.value.remedy
