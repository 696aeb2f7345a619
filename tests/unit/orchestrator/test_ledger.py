"""The run directory, on a local disk and on an object store (fsspec's memory://): whole, once, in order."""

import errno
import os
import threading
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import fsspec
import pytest

from roundelay.orchestrator.data.records import Dropped, Message, PairLogps, PolicyRef, Prompt, Shard
from roundelay.orchestrator.errors import ConfigError, RunError
from roundelay.orchestrator.ledger.ledger import Ledger
from roundelay.orchestrator.ledger.retention import (
    drop_unfinished_metrics,
    keep_checkpoints,
    name_checkpoint,
    prune,
    remove_update_files,
)


@pytest.fixture(params=["local", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "local":
        yield str(tmp_path / "run")
        return
    url = f"memory://ledger-{uuid.uuid4().hex}/run"
    yield url
    fs, root = fsspec.core.url_to_fs(url)
    if fs.exists(root):
        fs.rm(root, recursive=True)


@pytest.fixture
def ledger(url: str) -> Ledger:
    ledger = Ledger(url)
    ledger.create({"config": {"run": {"seed": 0}}})
    return ledger


@pytest.fixture
def local(tmp_path: Path) -> Ledger:
    ledger = Ledger(str(tmp_path / "run"))
    ledger.create({"config": {"run": {"seed": 0}}})
    return ledger


def shard(round: int = 1, index: int = 0) -> Shard:
    prompt = Prompt(id="p", messages=(Message(role="user", content="Hi"),))
    return Shard(round=round, index=index, prompts=(prompt,), split="train")


def drops(*names: str) -> list[Dropped]:
    return [Dropped(prompt_id=name, reason="tie") for name in names]


def add_model(ledger: Ledger, round: int, name: str) -> None:
    ledger.write_bytes(b"weights", f"rounds/{round:03d}", name, "model.safetensors")


def add_policy(ledger: Ledger, round: int) -> None:
    add_model(ledger, round, "policy")


def rounds_with(ledger: Ledger, name: str, rounds: Sequence[int]) -> list[int]:
    return [round for round in rounds if ledger.exists(f"rounds/{round:03d}", name, "model.safetensors")]


def policies(ledger: Ledger, rounds: Sequence[int]) -> list[int]:
    return rounds_with(ledger, "policy", rounds)


# -------------------------------------------------------------------------------------------------------------- the run


def test_a_run_can_be_opened_again_by_its_url(url: str, ledger: Ledger) -> None:
    header = {"config": {"run": {"name": "größe", "seed": 7}}, "inputs": [1, 2.5, None]}
    ledger.write_header(header)
    assert Ledger(url).header() == {"format": 2, **header}


def test_a_directory_without_a_run_is_named_and_how_to_start_one(url: str) -> None:
    with pytest.raises(ConfigError, match="holds no run") as caught:
        Ledger(url).header()
    assert url.rpartition("/")[0] in caught.value.what and "roundelay run" in caught.value.remedy


def test_a_directory_in_use_is_refused(url: str) -> None:
    """A fresh one is free, one with a run is not (resume it), nor is one with somebody's files."""
    ledger = Ledger(url)
    ledger.check_free()
    ledger.fs.makedirs(ledger.root, exist_ok=True)
    ledger.write_bytes(b"mine", "notes.txt")
    with pytest.raises(ConfigError, match="not empty") as caught:
        ledger.check_free()
    assert "run.name" in caught.value.remedy
    ledger.create({})
    with pytest.raises(ConfigError, match="holds another run") as caught:
        ledger.check_free()
    assert "roundelay resume" in caught.value.remedy and url in caught.value.remedy


def test_a_run_that_never_started_leaves_nothing(url: str) -> None:
    ledger = Ledger(url)
    ledger.discard()
    ledger.fs.makedirs(ledger.root, exist_ok=True)
    ledger.write_bytes(b"prompts", "inputs", "train.arrow")
    ledger.discard()
    assert not ledger.fs.exists(ledger.root)
    ledger.check_free()


def test_a_started_run_is_neither_started_again_nor_removed(ledger: Ledger) -> None:
    with pytest.raises(AssertionError):
        ledger.create({})
    assert ledger.header()["config"] == {"run": {"seed": 0}}
    ledger.write_shard("rollouts", shard(), Dropped, drops("a"))
    with pytest.raises(AssertionError):
        ledger.discard()
    assert ledger.read_shard("rollouts", shard(), Dropped) == drops("a")


def test_a_number_that_json_does_not_know_is_refused(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        ledger.write_json({"loss": float("nan")}, "learn.json")
    assert not ledger.exists("learn.json")


# --------------------------------------------------------------------------------------------------------------- shards


def test_a_shard_is_unfinished_until_it_is_written_and_then_read_back_as_it_was(url: str, ledger: Ledger) -> None:
    records = [
        PairLogps(prompt_id="a", chosen=-1.25, rejected=-3.5),
        PairLogps(prompt_id="b", chosen=0.1, rejected=-0.0),
    ]
    assert ledger.read_shard("eval-logps", shard(), PairLogps) is None
    ledger.write_shard("eval-logps", shard(), PairLogps, records)
    assert Ledger(url).read_shard("eval-logps", shard(), PairLogps) == records
    for other in (shard(round=2), shard(index=1)):
        assert ledger.read_shard("eval-logps", other, PairLogps) is None
    assert ledger.read_shard("pairs", shard(), PairLogps) is None


def test_a_shard_without_records_is_finished(ledger: Ledger) -> None:
    """All prompts of a shard may be dropped: it must not be computed again."""
    ledger.write_shard("pairs", shard(), Dropped, [])
    assert ledger.read_shard("pairs", shard(), Dropped) == []


def test_writing_a_finished_shard_is_an_error_and_keeps_what_is_there(ledger: Ledger) -> None:
    ledger.write_shard("pairs", shard(index=3), Dropped, drops("a"))
    with pytest.raises(RunError, match="shard 3 of pairs in round 1 was finished before"):
        ledger.write_shard("pairs", shard(index=3), Dropped, drops("b"))
    assert ledger.read_shard("pairs", shard(index=3), Dropped) == drops("a")


def test_a_stage_is_read_in_shard_order_whatever_the_order_of_writing(ledger: Ledger) -> None:
    for index in (10, 2, 0, 1):
        ledger.write_shard("pairs", shard(index=index), Dropped, drops(f"{index}-a", f"{index}-b"))
    ledger.write_shard("pairs", shard(round=2), Dropped, drops("other round"))
    ledger.write_shard("pairs-too", shard(), Dropped, drops("other stage"))
    names = [record.prompt_id for record in ledger.read_stage(1, "pairs", Dropped)]
    assert names == ["0-a", "0-b", "1-a", "1-b", "2-a", "2-b", "10-a", "10-b"]


def test_a_run_directory_may_have_a_name_that_a_pattern_would_read_otherwise(tmp_path: Path) -> None:
    """Brackets, stars and question marks in run.root stand for themselves: what is finished there is found."""
    ledger = Ledger(str(tmp_path / "exp[1] * ?" / "run"))
    ledger.create({})
    ledger.write_shard("pairs", shard(), Dropped, drops("a"))
    add_policy(ledger, 1)
    ledger.commit_round(1, {})
    assert ledger.finished_rounds() == [1]
    assert list(ledger.read_stage(1, "pairs", Dropped)) == drops("a")
    assert ledger.stage_hash(1, "pairs") != ledger.stage_hash(1, "absent")


def test_a_stages_hash_is_over_its_contents_and_not_over_when_they_were_written(ledger: Ledger) -> None:
    for index in (0, 1):
        ledger.write_shard("one", shard(index=index), Dropped, drops(str(index)))
        ledger.write_shard("two", shard(index=1 - index), Dropped, drops(str(1 - index)))
        ledger.write_shard("exchanged", shard(index=index), Dropped, drops(str(1 - index)))
        ledger.write_shard("moved", shard(index=2 * index), Dropped, drops(str(index)))
    assert ledger.stage_hash(1, "one") == ledger.stage_hash(1, "two")
    assert len({ledger.stage_hash(1, stage) for stage in ("one", "exchanged", "moved", "absent")}) == 4


# ------------------------------------------------------------------------------------------------------------ atomicity


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A disk that has no room for what is synced to it, until the patch is undone."""

    def fsync(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        yield patch


def test_a_file_whose_writing_fails_does_not_appear_and_can_be_written_again(
    local: Ledger, full_disk: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunError, match="No space left") as caught:
        local.write_shard("pairs", shard(), Dropped, drops("a"))
    assert local.root in caught.value.what and "free some space" in caught.value.remedy
    with pytest.raises(RunError, match="No space left"):
        local.commit_round(1, {"round": 1})
    full_disk.undo()
    assert local.read_shard("pairs", shard(), Dropped) is None
    assert list(local.read_stage(1, "pairs", Dropped)) == []
    assert local.finished_rounds() == []
    local.write_shard("pairs", shard(), Dropped, drops("a"))
    assert list(local.read_stage(1, "pairs", Dropped)) == drops("a")
    assert not list(Path(local.root).rglob("*partial*"))


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    """A file that is overwritten again and again is read meanwhile: always all of one version."""
    ledger = Ledger(str(tmp_path / "run"))
    ledger.create({})
    versions = [bytes([letter]) * 2_000_000 for letter in b"ab"]
    ledger.write_bytes(versions[0], "file")
    stop = threading.Event()

    def overwrite() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            ledger.write_bytes(versions[turn % 2], "file")

    thread = threading.Thread(target=overwrite)
    thread.start()
    try:
        seen = {ledger.read_bytes("file") for _ in range(60)}
    finally:
        stop.set()
        thread.join()
    assert seen <= set(versions)


def test_nothing_but_the_file_itself_is_left_behind(ledger: Ledger) -> None:
    for _ in range(2):
        ledger.write_json({"a": 1}, "rounds/001", "learn.json")
    assert [Path(path).name for path in ledger.fs.ls(ledger.path("rounds/001"), detail=False)] == ["learn.json"]


# --------------------------------------------------------------------------------------------------------------- rounds


def test_a_round_is_finished_by_its_manifest_and_by_nothing_before(ledger: Ledger) -> None:
    ledger.write_shard("pairs", shard(), Dropped, drops("a"))
    ledger.write_json({"policy": {}}, "rounds/001", "learn.json")
    add_policy(ledger, 1)
    assert ledger.finished_rounds() == []
    ledger.commit_round(1, {"round": 1, "seconds": {"learn": 2.5}})
    assert ledger.finished_rounds() == [1]
    assert ledger.manifest(1) == {"round": 1, "seconds": {"learn": 2.5}}


def test_finished_rounds_come_in_numerical_order(ledger: Ledger) -> None:
    for round in (10, 2, 1000, 0, 1):
        ledger.commit_round(round, {})
    assert ledger.finished_rounds() == [0, 1, 2, 10, 1000]


def test_pruning_keeps_the_newest_committed_policies_and_what_is_not_committed(ledger: Ledger) -> None:
    """Rounds 1–4 are committed, 5 is not: keeping two deletes 1 and 2. Manifests stay."""
    ledger.commit_round(0, {})
    for round in (1, 2, 3, 4):
        add_policy(ledger, round)
        ledger.commit_round(round, {})
    add_policy(ledger, 5)
    assert prune(ledger, 2) == [1, 2]
    assert policies(ledger, range(6)) == [3, 4, 5]
    assert ledger.finished_rounds() == [0, 1, 2, 3, 4]
    assert prune(ledger, 2) == []
    ledger.commit_round(5, {})
    assert prune(ledger, 1) == [3, 4]
    assert policies(ledger, range(6)) == [5]


def test_pruning_fewer_policies_than_are_kept_deletes_none(ledger: Ledger) -> None:
    assert prune(ledger, 1) == []
    add_policy(ledger, 1)
    ledger.commit_round(1, {})
    assert prune(ledger, 3) == []
    assert policies(ledger, [1]) == [1]


def test_reward_models_are_kept_by_their_own_number(ledger: Ledger) -> None:
    """Rounds 1 and 3 trained a reward model and left the policy as it was: the newest of them judges on, however many
    policies came after it. An average goes with the policy beside it."""
    for round in range(7):
        if round in (1, 3):
            add_model(ledger, round, "reward_model")
        elif round:
            add_policy(ledger, round)
            add_model(ledger, round, "average")
        ledger.commit_round(round, {})
    assert prune(ledger, 2) == [2, 4]
    assert policies(ledger, range(7)) == rounds_with(ledger, "average", range(7)) == [5, 6]
    assert rounds_with(ledger, "reward_model", range(7)) == [1, 3]
    assert prune(ledger, 1) == [5]
    assert rounds_with(ledger, "reward_model", range(7)) == [3]


@pytest.mark.parametrize("keep", [None, 1, 5])
def test_working_state_is_kept_until_the_next_round_is_committed(ledger: Ledger, keep: int | None) -> None:
    """Round 3 goes on with round 2's critic and optimizer, and is not committed yet: nothing older is wanted, however
    many policies are kept."""
    for round in (1, 2, 3):
        for name in ("policy", "critic", "optimizer"):
            add_model(ledger, round, name)
    for round in range(3):
        ledger.commit_round(round, {})
    prune(ledger, keep)
    for name in ("critic", "optimizer"):
        assert rounds_with(ledger, name, range(4)) == [2, 3]
    assert policies(ledger, range(4)) == ([2, 3] if keep == 1 else [1, 2, 3])


def test_where_a_model_lies_is_a_path_or_a_url_that_can_be_opened(url: str, ledger: Ledger) -> None:
    add_model(ledger, 2, "reward_model")
    path = ledger.model_path(2, "reward_model")
    assert path == f"{url}/rounds/002/reward_model"
    fs, root = fsspec.core.url_to_fs(path)
    assert fs.cat_file(f"{root}/model.safetensors") == b"weights"


# ---------------------------------------------------------------------------------------------------------- checkpoints


def add_checkpoint(ledger: Ledger, steps: int) -> None:
    ledger.write_bytes(b"state", "rounds/001/checkpoint", str(steps), "learner.safetensors")


def checkpoint_ref(steps: int) -> PolicyRef:
    return PolicyRef(version=1, path="", sha256=str(steps), files={"learner.safetensors": f"h{steps}"})


def checkpoints(ledger: Ledger) -> list[int]:
    return [n for n in range(20) if ledger.exists("rounds/001/checkpoint", str(n), "learner.safetensors")]


def test_the_newest_checkpoint_is_the_one_that_is_named_and_older_ones_go(url: str, ledger: Ledger) -> None:
    """Files without a name are no checkpoint: a crash while they were written leaves the one before."""
    assert ledger.checkpointed_steps(1) == []
    add_checkpoint(ledger, 2)
    assert ledger.checkpointed_steps(1) == []
    steps = [{"step": 1, "pairs": 4, "loss": 0.5}, {"step": 2, "pairs": 4, "loss": 0.25}]
    name_checkpoint(ledger, 1, steps, {2: checkpoint_ref(2)})
    add_checkpoint(ledger, 12)
    assert Ledger(url).checkpointed_steps(1) == steps
    assert checkpoints(ledger) == [2, 12]
    assert Ledger(url).checkpoints(1) == {"2": {"sha256": "2", "files": {"learner.safetensors": "h2"}}}
    name_checkpoint(ledger, 1, [{"pairs": 4.0}] * 12, {12: checkpoint_ref(12)})
    assert checkpoints(ledger) == [12]
    remove_update_files(ledger, 1)
    assert ledger.checkpointed_steps(1) == []
    assert checkpoints(ledger) == []


def test_the_best_moment_of_an_update_is_kept_beside_the_newest(ledger: Ledger) -> None:
    """After 4 steps was the best measurement so far, after 9 the newest checkpoint."""
    for steps in (2, 4, 9):
        add_checkpoint(ledger, steps)
    name_checkpoint(ledger, 1, [{"pairs": 4.0}] * 9, {4: checkpoint_ref(4), 9: checkpoint_ref(9)})
    assert checkpoints(ledger) == [4, 9]
    add_checkpoint(ledger, 10)
    keep_checkpoints(ledger, 1, {9, 10})
    assert checkpoints(ledger) == [9, 10]
    assert len(ledger.checkpointed_steps(1)) == 9


# -------------------------------------------------------------------------------------------------------------- metrics


def rows(ledger: Ledger) -> list[str]:
    return ledger.read_bytes("metrics.jsonl").decode().splitlines()


def test_metrics_are_appended_one_row_a_line(ledger: Ledger) -> None:
    ledger.append_metrics([{"round": 1, "stage": "learn", "loss": 0.5}, {"round": 1, "stage": "learn", "loss": 0.25}])
    ledger.append_metrics([{"round": 1, "stage": "round"}])
    assert rows(ledger) == [
        '{"loss": 0.5, "round": 1, "stage": "learn"}',
        '{"loss": 0.25, "round": 1, "stage": "learn"}',
        '{"round": 1, "stage": "round"}',
    ]


def test_a_resume_forgets_rows_of_a_round_to_be_run_again_and_a_half_written_line(ledger: Ledger) -> None:
    """Rounds 0 and 1 are committed; round 2 was being learnt when the driver was killed in the middle of a line. The
    rows that are kept are as they were, and the next row starts a line of its own."""
    for round in (0, 1):
        ledger.append_metrics([{"round": round, "stage": "round"}])
        ledger.commit_round(round, {})
    ledger.append_metrics([{"round": 2, "stage": "learn", "step": 1}])
    ledger.write_bytes(ledger.read_bytes("metrics.jsonl") + b'{"round": 1, "stage": "lea', "metrics.jsonl")
    drop_unfinished_metrics(ledger)
    ledger.append_metrics([{"round": 2, "stage": "learn", "step": 1}])
    assert rows(ledger) == [
        '{"round": 0, "stage": "round"}',
        '{"round": 1, "stage": "round"}',
        '{"round": 2, "stage": "learn", "step": 1}',
    ]


def test_a_resume_before_the_first_row_has_nothing_to_forget(ledger: Ledger) -> None:
    drop_unfinished_metrics(ledger)
    assert not ledger.exists("metrics.jsonl")
