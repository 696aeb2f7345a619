"""The run directory: what is finished, and what it holds. Nothing in it is ever written twice or half.

    run.yaml                          resolved config, code version, input hashes, tracker id
    inputs/{train,heldout}.arrow      the prompts, frozen at the start
    rounds/NNN/STAGE/shard-IIIII.parquet
    rounds/NNN/checkpoint/STEPS/      what the learner needs to go on within an update
    rounds/NNN/checkpoint.json        names the newest of them; written after its files, gone with the update's end
    rounds/NNN/trained/, candidate/   what a policy is mixed from; gone with the update's end
    rounds/NNN/policy/                safetensors, loads with plain transformers
    rounds/NNN/average/               the moving average of policies, where that is the reference
    rounds/NNN/reward_model/          safetensors, where the round trained one
    rounds/NNN/critic/, optimizer/    what the next round's update goes on with; gone once that is committed
    rounds/NNN/learn.json             what the learner reported; written after the policy: with it the update is done
    rounds/NNN/manifest.json          written last: its existence means that the round is done
    metrics.jsonl
    comparisons/, judge-accuracy/     judged pairs of finished rounds, by the hash of all that they hang on

The directory is local or any fsspec URL. On a local file system a file appears by atomic rename; object stores put
whole objects. A stage's shard that exists is finished and is read back, never recomputed.
"""

import hashlib
import json
import posixpath
import uuid
from collections.abc import Collection, Iterator, Sequence
from typing import Any, TypeVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from .errors import ConfigError, RunError
from .records import Shard
from .tables import from_table, to_table

T = TypeVar("T")

PARTIAL = ".partial-"
CHECKPOINT = "checkpoint.json"


class Ledger:
    """One run directory.

    Args:
        url: a local path or an fsspec URL.
    """

    def __init__(self, url: str):
        self.fs, self.root = fsspec.core.url_to_fs(url)
        self.local = "file" in (self.fs.protocol if isinstance(self.fs.protocol, tuple) else (self.fs.protocol,))
        self.url = self.root if self.local else url.rstrip("/")

    # Files ------------------------------------------------------------------------------------------------------

    def path(self, *parts: str) -> str:
        """The path of a file in the run directory, as its file system names it."""
        return posixpath.join(self.root, *parts)

    def exists(self, *parts: str) -> bool:
        return self.fs.exists(self.path(*parts))

    def write_bytes(self, data: bytes, *parts: str) -> None:
        """Write a file so that it appears whole or not at all."""
        final = self.path(*parts)
        if not self.local:
            self.fs.pipe_file(final, data)
            return
        self.fs.makedirs(posixpath.dirname(final), exist_ok=True)
        partial = f"{final}{PARTIAL}{uuid.uuid4().hex[:8]}"
        self.fs.pipe_file(partial, data)
        self.fs.mv(partial, final)

    def read_bytes(self, *parts: str) -> bytes:
        return self.fs.cat_file(self.path(*parts))

    def write_json(self, value: Any, *parts: str) -> None:
        self.write_bytes(json.dumps(value, indent=2, sort_keys=True, allow_nan=False).encode() + b"\n", *parts)

    def read_json(self, *parts: str) -> Any:
        return json.loads(self.read_bytes(*parts))

    # The run ----------------------------------------------------------------------------------------------------

    def check_free(self) -> None:
        """Refuse a directory that is in use.

        Raises:
            ConfigError: it holds a run already, or other files.
        """
        if self.exists("run.yaml"):
            raise ConfigError(
                f"run directory {self.url} holds another run",
                f"go on with it by `roundelay resume {self.url}`, or choose another run.name",
            )
        try:
            used = self.fs.exists(self.root) and bool(self.fs.ls(self.root, detail=False))
            self.fs.makedirs(self.root, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"run directory {self.url} cannot be made ({error.strerror})",
                "set run.root to a directory you may write",
            ) from error
        if used:
            raise ConfigError(f"run directory {self.url} is not empty and holds no run", "choose another run.name")

    def create(self, header: dict[str, Any]) -> None:
        """Start the run: from now on it can be resumed."""
        assert not self.exists("run.yaml")
        self.write_header(header)

    def remove(self) -> None:
        """Take away a directory whose run never started a stage."""
        assert not self.exists("rounds")
        if self.fs.exists(self.root):
            self.fs.rm(self.root, recursive=True)

    def write_header(self, header: dict[str, Any]) -> None:
        self.write_bytes(yaml.safe_dump(header, sort_keys=False).encode(), "run.yaml")

    def header(self) -> dict[str, Any]:
        """`run.yaml`.

        Raises:
            ConfigError: there is no run here.
        """
        if not self.exists("run.yaml"):
            raise ConfigError(f"{self.url} holds no run (no run.yaml)", "check the path; `roundelay run` starts one")
        return yaml.safe_load(self.read_bytes("run.yaml"))

    # Shards -----------------------------------------------------------------------------------------------------

    def read_shard(self, stage: str, shard: Shard, cls: type[T]) -> list[T] | None:
        """The records of a finished shard, or None if the shard is not finished."""
        parts = _shard_parts(stage, shard.round, shard.index)
        if not self.exists(*parts):
            return None
        with self.fs.open(self.path(*parts), "rb") as file:
            return _records(cls, file.read())

    def write_shard(self, stage: str, shard: Shard, cls: type[T], records: Sequence[T]) -> None:
        """Finish a shard. Writing a finished shard is a bug.

        Raises:
            RunError: the shard is finished already.
        """
        parts = _shard_parts(stage, shard.round, shard.index)
        if self.exists(*parts):
            raise RunError(
                f"shard {shard.index} of {stage} in round {shard.round} was finished before",
                "another driver seems to run in the same directory: stop one of them",
            )
        sink = pa.BufferOutputStream()
        pq.write_table(to_table(cls, records), sink, compression="zstd")
        self.write_bytes(sink.getvalue().to_pybytes(), *parts)

    def shards_finished(self, round: int, stage: str) -> int:
        """How many of a stage's shards are finished."""
        return len(self._shard_paths(round, stage))

    def stage_hash(self, round: int, stage: str) -> str:
        """A hash over the names and bytes of a stage's shards, in order."""
        digest = hashlib.sha256()
        for path in self._shard_paths(round, stage):
            digest.update(posixpath.basename(path).encode())
            with self.fs.open(path, "rb") as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
        return digest.hexdigest()

    def read_stage(self, round: int, stage: str, cls: type[T]) -> Iterator[T]:
        """Every record of a stage, one shard in memory at a time."""
        for path in self._shard_paths(round, stage):
            with self.fs.open(path, "rb") as file:
                yield from _records(cls, file.read())

    def _shard_paths(self, round: int, stage: str) -> list[str]:
        names = self._names(round_name(round), stage)
        return [self.path(round_name(round), stage, name) for name in names if name.endswith(".parquet")]

    def _names(self, *parts: str) -> list[str]:
        """What a directory holds, numbers in their order; nothing if it does not exist."""
        if not self.exists(*parts):
            return []
        names = [posixpath.basename(path.rstrip("/")) for path in self.fs.ls(self.path(*parts), detail=False)]
        return sorted(names, key=lambda name: (len(name), name))

    # Rounds -----------------------------------------------------------------------------------------------------

    def finished_rounds(self) -> list[int]:
        """Rounds with a manifest, in order. Round 0 is the evaluation of the initial policy."""
        return [int(name) for name in self._names("rounds") if self.exists("rounds", name, "manifest.json")]

    def manifest(self, round: int) -> dict[str, Any]:
        return self.read_json(round_name(round), "manifest.json")

    def commit_round(self, round: int, manifest: dict[str, Any]) -> None:
        """Declare a round done: everything else of it is written before."""
        self.write_json(manifest, round_name(round), "manifest.json")

    def model_path(self, round: int, name: str) -> str:
        """Where a model of round `round` is ("policy", "reward_model", …): a local path, or a URL that
        `policies.local_copy` fetches."""
        return posixpath.join(self.url, round_name(round), name)

    def prune(self, keep: int | None, needed: Collection[int] = ()) -> list[int]:
        """Delete committed policies and reward models beyond the newest `keep` of each (None keeps all), and working
        state that a newer round has taken up. The policies of rounds `needed` stay.

        Only rounds older than the newest manifest are touched, so the run stays resumable at any moment.

        Returns:
            the rounds whose policies are gone.
        """
        finished = self.finished_rounds()
        for name in ("critic", "optimizer"):
            self._remove(finished[:-1], name)
        if keep is None:
            return []
        policies, reward_models = (
            [round for round in finished if self.exists(round_name(round), name)][:-keep]
            for name in ("policy", "reward_model")
        )
        policies = [round for round in policies if round not in needed]
        self._remove(policies, "average")
        self._remove(policies, "policy")
        self._remove(reward_models, "reward_model")
        return policies

    def _remove(self, rounds: Sequence[int], name: str) -> None:
        for round in rounds:
            if self.exists(round_name(round), name):
                self.fs.rm(self.path(round_name(round), name), recursive=True)

    def checkpointed_steps(self, round: int) -> list[dict[str, float]]:
        """The optimizer steps up to the newest checkpoint of an unfinished update; empty without one."""
        if not self.exists(round_name(round), CHECKPOINT):
            return []
        return self.read_json(round_name(round), CHECKPOINT)["steps"]

    def write_checkpoint(self, round: int, steps: Sequence[dict[str, float]], best: int | None = None) -> None:
        """Name the checkpoint after `steps`, whose files are written, as the newest. Older ones are deleted, but for
        the one after `best` steps."""
        self.write_json({"steps": list(steps)}, round_name(round), CHECKPOINT)
        self.keep_checkpoints(round, {len(steps), best})

    def keep_checkpoints(self, round: int, kept: Collection[int | None]) -> None:
        """Delete an update's checkpoints but for those after `kept` steps."""
        for name in self._names(round_name(round), "checkpoint"):
            if int(name) not in kept:
                self.fs.rm(self.checkpoint_path(round, int(name)), recursive=True)

    def checkpoint_path(self, round: int, steps: int) -> str:
        """Where the learner's files after `steps` optimizer steps of a round are."""
        return posixpath.join(self.url, round_name(round), "checkpoint", str(steps))

    def remove_checkpoint(self, round: int) -> None:
        """The round's policy is written: nothing will go on from within its update, or from what it was made of."""
        for name in (CHECKPOINT, "checkpoint", "trained", "candidate"):
            if self.exists(round_name(round), name):
                self.fs.rm(self.path(round_name(round), name), recursive=True)

    # Metrics ----------------------------------------------------------------------------------------------------

    def append_metrics(self, rows: Sequence[dict[str, Any]]) -> None:
        """Append rows to metrics.jsonl; each carries `round` and `stage`."""
        text = "".join(json.dumps(row, sort_keys=True, allow_nan=False) + "\n" for row in rows)
        if self.local:
            with open(self.path("metrics.jsonl"), "a", encoding="utf-8") as file:
                file.write(text)
        else:  # object stores append nothing: rewrite
            before = self.read_bytes("metrics.jsonl") if self.exists("metrics.jsonl") else b""
            self.write_bytes(before + text.encode(), "metrics.jsonl")

    def drop_unfinished_metrics(self) -> None:
        """On resume, forget the rows that will be written again, so that no step appears twice: those of rounds without
        a manifest, but for the steps of a finished update and those up to an update's checkpoint."""
        if not self.exists("metrics.jsonl"):
            return
        finished = set(self.finished_rounds())

        def stays(row: dict[str, Any]) -> bool:
            name = round_name(row["round"])
            if row["round"] in finished or row["stage"] != "learn":
                return row["round"] in finished
            return self.exists(name, "learn.json") or row["step"] <= len(self.checkpointed_steps(row["round"]))

        lines = self.read_bytes("metrics.jsonl").decode().splitlines()
        kept = [line for line in lines if _is_whole_json(line) and stays(json.loads(line))]
        self.write_bytes("".join(line + "\n" for line in kept).encode(), "metrics.jsonl")


def round_name(round: int) -> str:
    return f"rounds/{round:03d}"


def _shard_parts(stage: str, round: int, index: int) -> tuple[str, ...]:
    return (round_name(round), stage, f"shard-{index:05d}.parquet")


def _is_whole_json(line: str) -> bool:
    try:
        json.loads(line)
    except json.JSONDecodeError:  # the line that was being written when the driver was killed
        return False
    return True


def _records(cls: type[T], data: bytes) -> list[T]:
    """Not by `pq.read_table`: its scanner's threads may still hold a Python file when the interpreter ends, which
    aborts the process."""
    return from_table(cls, pq.ParquetFile(pa.BufferReader(data)).read())
