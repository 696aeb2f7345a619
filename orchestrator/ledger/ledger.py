"""The run directory: what is finished, and what it holds. Nothing in it is ever written twice or half.

    run.yaml                          format, resolved config, code version, models' and inputs' hashes, tracker id
    run.lock                          held by the driver that is at work (see `lease`)
    inputs/{train,heldout}.arrow      the prompts, frozen at the start
    rounds/NNN/STAGE/shard-IIIII.parquet
    rounds/NNN/STAGE/_shard-IIIII.json  the shard's checksum, written before it
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
    error.log                         what stopped the run, where that was no message to its user
    comparisons/, judge-accuracy/     judged pairs of finished rounds, by the hash of all that they depend on

The directory is local or any fsspec URL. On a local file system a file appears by atomic rename, synced to the disk;
object stores put whole objects. A stage's shard that exists is finished and is read back, never recomputed. What is
read is what was written: shards, JSON files and run.yaml carry checksums, and a read verifies them. Paths are relative
to the directory, which may be moved or copied.
"""

import functools
import hashlib
import json
import posixpath
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import yaml

from ..data.records import Shard
from ..errors import ConfigError, DamagedFile, RunError
from .checksums import SEAL, sealed, unsealed
from .durable import explained, make_directories, sync_directory, sync_file, write_file
from .file_systems import file_system
from .lease import Lease
from .metrics_rows import MetricsLine, line_of, metrics_lines
from .shard_files import SUFFIX, checksum, checksum_parts, decoded, encoded, shard_file, verify

T = TypeVar("T")

FORMAT = 2  # of run directories; 1 had no checksums, and absolute paths
GONE = "it is gone from a finished round"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C: run.yaml is read at every step of a run
CHECKPOINT = "checkpoint.json"  # names the newest checkpoint of an unfinished update


class Ledger:
    """One run directory.

    Args:
        url: a local path or an fsspec URL.
        lease: the right to write in it, where a driver does.
    """

    def __init__(self, url: str, lease: Lease | None = None):
        self.fs, self.root = file_system(url)
        self.local = "file" in (self.fs.protocol if isinstance(self.fs.protocol, tuple) else (self.fs.protocol,))
        self.url = self.root if self.local else url.rstrip("/")
        self.lease = lease

    # Files ------------------------------------------------------------------------------------------------------

    def path(self, *parts: str) -> str:
        """The path of a file in the run directory, as its file system names it."""
        return posixpath.join(self.root, *parts)

    def exists(self, *parts: str) -> bool:
        return self.fs.exists(self.path(*parts))

    def write_bytes(self, data: bytes, *parts: str) -> None:
        """Write a file so that it appears whole or not at all, and stays.

        Raises:
            RunError: the disk refuses, or the directory is not the one that the lease is on.
        """
        final = self.path(*parts)
        if not self.local:
            self.fs.pipe_file(final, data)
            return
        if self.lease is not None:
            self.lease.check()
        make_directories(posixpath.dirname(final))
        write_file(final, data)

    def read_bytes(self, *parts: str) -> bytes:
        """A file's bytes.

        Raises:
            DamagedFile: it is gone.
            RunError: the disk refuses.
        """
        try:
            with explained(self.path(*parts)):
                return self.fs.cat_file(self.path(*parts))
        except RunError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise DamagedFile.at(self.path(*parts), "it is gone") from error
            raise

    def file_hash(self, *parts: str) -> str:
        """SHA-256 over a file's bytes."""
        with self.fs.open(self.path(*parts), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def write_json(self, value: dict[str, Any], *parts: str) -> None:
        """Write a mapping of plain containers, with its checksum in it."""
        whole = sealed(value, self._place(parts))
        self.write_bytes(json.dumps(whole, indent=2, sort_keys=True, allow_nan=False).encode() + b"\n", *parts)

    def read_json(self, *parts: str) -> dict[str, Any]:
        """What `write_json` wrote.

        Raises:
            DamagedFile: the file holds something else.
        """
        path = self.path(*parts)
        try:
            value = json.loads(self.read_bytes(*parts))
        except (ValueError, RecursionError) as error:
            raise DamagedFile.at(path, f"it is no JSON ({error})") from error
        if isinstance(value, dict) and SEAL not in value and not self.has_checksums:
            return value
        return unsealed(value, self._place(parts), path)

    def relative(self, path: str) -> str:
        """A path or URL as the ledger keeps it: relative where it lies in the run directory."""
        root = self.url.rstrip("/") + "/"
        return path[len(root) :] if path.startswith(root) else path

    def absolute(self, path: str) -> str:
        """Where a path that `relative` gave lies."""
        return path if path.startswith("/") or "://" in path else posixpath.join(self.url, path)

    def _place(self, parts: Sequence[str]) -> str:
        """What a checksum says of where its file belongs: another round's, or another run's, is damage."""
        return f"{'/'.join(parts)} of run {self._identity[1]}"

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
        except OSError as error:
            raise ConfigError(
                f"run directory {self.url} cannot be read ({error.strerror})",
                "set run.root to a directory you may write",
            ) from error
        if used:
            raise ConfigError(f"run directory {self.url} is not empty and holds no run", "choose another run.name")

    def create(self, header: dict[str, Any]) -> None:
        """Start the run: from now on it can be resumed."""
        assert not self.exists("run.yaml")
        if self.local:
            self.fs.makedirs(self.root, exist_ok=True)
        self.write_header(header)

    def discard(self) -> None:
        """Take away a directory whose run never started a stage."""
        assert not self.exists("rounds")
        if self.fs.exists(self.root):
            self.fs.rm(self.root, recursive=True)

    def write_header(self, header: dict[str, Any]) -> None:
        """Write `run.yaml`, of today's format unless it says another."""
        self.write_bytes(
            yaml.safe_dump(sealed({"format": FORMAT, **header}, "run.yaml"), sort_keys=False).encode(), "run.yaml"
        )
        self.__dict__.pop("_identity", None)

    def header(self) -> dict[str, Any]:
        """`run.yaml`.

        Raises:
            ConfigError: there is no run here, or one of a format that this version does not read.
            DamagedFile: it was changed.
        """
        if not self.exists("run.yaml"):
            raise ConfigError(f"{self.url} holds no run (no run.yaml)", "check the path; `roundelay run` starts one")
        path = self.path("run.yaml")
        try:
            value = yaml.load(self.read_bytes("run.yaml"), LOADER)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise DamagedFile.at(path, "it is no YAML") from error
        if isinstance(value, dict) and "config" in value and not {"format", SEAL} & value.keys():
            return {"format": 1, **value}
        header = unsealed(value, "run.yaml", path)
        if header.get("format") not in range(1, FORMAT + 1):
            raise ConfigError(
                f"{self.url} has the run directory format {header.get('format')!r}, and this version reads 1 to "
                f"{FORMAT}",
                f"use the version that began it: roundelay {header.get('code_version', 'unknown')}",
            )
        return header

    @functools.cached_property
    def _identity(self) -> tuple[int, str | None]:
        """The directory's format, and what tells the run from others: files of another run are damage."""
        if not self.exists("run.yaml"):
            return FORMAT, None
        header = self.header()
        return header["format"], header.get("tracker_run_id")

    @property
    def has_checksums(self) -> bool:
        """Whether every file carries one: format 1 had none."""
        return self._identity[0] >= 2

    # Shards -----------------------------------------------------------------------------------------------------

    def read_shard(self, stage: str, shard: Shard, cls: type[T]) -> list[T] | None:
        """The records of a finished shard, or None if the shard is not finished.

        Raises:
            DamagedFile: the file is not what was written, or it is gone from a finished round.
        """
        parts = _shard_parts(stage, shard.round, shard.index)
        if not self.exists(*parts):
            if shard.index < self._committed(shard.round, stage):
                raise DamagedFile.at(self.path(*parts), GONE)
            return None
        return decoded(cls, self.shard_bytes(*parts), self.path(*parts))

    def write_shard(self, stage: str, shard: Shard, cls: type[T], records: Sequence[T]) -> None:
        """Finish a shard. Writing a finished shard is a bug.

        Raises:
            RunError: the shard is finished already, or the disk refuses.
        """
        parts = _shard_parts(stage, shard.round, shard.index)
        if self.exists(*parts):
            raise RunError(
                f"shard {shard.index} of {stage} in round {shard.round} was finished before",
                "another driver seems to run in the same directory: stop one of them",
            )
        data = encoded(cls, records)
        self.write_bytes(checksum(data, "/".join(parts), self._identity[1]), *checksum_parts(parts))
        self.write_bytes(data, *parts)

    def shards_finished(self, round: int, stage: str) -> int:
        """How many of a stage's shards are finished."""
        return len(self.shard_names(round, stage))

    def stage_hash(self, round: int, stage: str) -> str:
        """A hash over the names and bytes of a stage's shards, in order.

        Raises:
            DamagedFile: a shard is not what was written.
        """
        digest = hashlib.sha256()
        for name in self.shard_names(round, stage):
            digest.update(name.encode())
            digest.update(self.shard_bytes(round_name(round), stage, name))
        return digest.hexdigest()

    def read_stage(self, round: int, stage: str, cls: type[T]) -> Iterator[T]:
        """Every record of a stage, one shard in memory at a time.

        Raises:
            DamagedFile: a shard is not what was written, or it is gone from a finished round.
        """
        names = self.shard_names(round, stage)
        for index in range(self._committed(round, stage)):
            if shard_file(index) not in names:
                raise DamagedFile.at(self.path(*_shard_parts(stage, round, index)), GONE)
        for name in names:
            parts = (round_name(round), stage, name)
            yield from decoded(cls, self.shard_bytes(*parts), self.path(*parts))

    def shard_names(self, round: int, stage: str) -> list[str]:
        """The files of a stage's finished shards, in order."""
        return [name for name in self.names(round_name(round), stage) if name.endswith(SUFFIX)]

    def shard_bytes(self, *parts: str) -> bytes:
        """A shard's file, verified.

        Raises:
            DamagedFile: it is not what was written.
        """
        data, path, beside = self.read_bytes(*parts), self.path(*parts), checksum_parts(parts)
        if self.exists(*beside):
            verify(data, self.read_bytes(*beside), "/".join(parts), self._identity[1], path)
        elif self.has_checksums:
            raise DamagedFile.at(path, f"its checksum, {beside[-1]} beside it, is gone")
        return data

    def _committed(self, round: int, stage: str) -> int:
        """How many shards of a stage a finished round has; 0 where the round is not finished, or does not say."""
        if not self.exists(round_name(round), "manifest.json"):
            return 0
        return self.manifest(round).get("stage_shards", {}).get(stage, 0)

    def names(self, *parts: str) -> list[str]:
        """What a directory holds, numbers in their order; nothing if it does not exist."""
        if not self.exists(*parts):
            return []
        names = [posixpath.basename(path.rstrip("/")) for path in self.fs.ls(self.path(*parts), detail=False)]
        return sorted(names, key=lambda name: (len(name), name))

    # Rounds -----------------------------------------------------------------------------------------------------

    def finished_rounds(self) -> list[int]:
        """Rounds with a manifest, in order. Round 0 is the evaluation of the initial policy."""
        return [int(name) for name in self.names("rounds") if self.exists("rounds", name, "manifest.json")]

    def manifest(self, round: int) -> dict[str, Any]:
        return self.read_json(round_name(round), "manifest.json")

    def commit_round(self, round: int, manifest: dict[str, Any]) -> None:
        """Declare a round done: everything else of it is written before."""
        self.sync_metrics()
        self.write_json(manifest, round_name(round), "manifest.json")

    def model_path(self, round: int, name: str) -> str:
        """Where a model of round `round` is ("policy", "reward_model", …): a local path, or a URL that
        `policies.local_copy` fetches."""
        return posixpath.join(self.url, round_name(round), name)

    def checkpointed_steps(self, round: int) -> list[dict[str, float]]:
        """The optimizer steps up to the newest checkpoint of an unfinished update; empty without one."""
        if not self.exists(round_name(round), CHECKPOINT):
            return []
        return self.read_json(round_name(round), CHECKPOINT)["steps"]

    def checkpoints(self, round: int) -> dict[str, dict[str, Any]]:
        """The hashes of every checkpoint that an unfinished update may go back to, by its steps."""
        if not self.exists(round_name(round), CHECKPOINT):
            return {}
        return self.read_json(round_name(round), CHECKPOINT).get("checkpoints", {})

    def remove(self, *parts: str) -> None:
        """Delete a file or directory of the run, if it is there.

        Raises:
            RunError: the disk refuses.
        """
        if self.exists(*parts):
            with explained(self.path(*parts)):
                self.fs.rm(self.path(*parts), recursive=True)

    def checkpoint_path(self, round: int, steps: int) -> str:
        """Where the learner's files after `steps` optimizer steps of a round are."""
        return posixpath.join(self.url, round_name(round), "checkpoint", str(steps))

    # Metrics ----------------------------------------------------------------------------------------------------

    def append_metrics(self, rows: Sequence[dict[str, Any]]) -> None:
        """Append rows to metrics.jsonl; each carries `round` and `stage`."""
        text = "".join(map(line_of, rows))
        if self.local:
            if self.lease is not None:
                self.lease.check()
            with explained(self.path("metrics.jsonl")), open(self.path("metrics.jsonl"), "a", encoding="utf-8") as file:
                file.write(text)
        else:  # object stores append nothing: rewrite
            before = self.read_bytes("metrics.jsonl") if self.exists("metrics.jsonl") else b""
            self.write_bytes(before + text.encode(), "metrics.jsonl")

    def metrics(self) -> list[MetricsLine]:
        """Every whole line of metrics.jsonl.

        Raises:
            DamagedFile: a line before the last whole one is no row.
        """
        if not self.exists("metrics.jsonl"):
            return []
        return metrics_lines(self.read_bytes("metrics.jsonl"), self.path("metrics.jsonl"))

    def sync_metrics(self) -> None:
        """Sync metrics.jsonl to the disk, before something is committed that its rows tell of."""
        if self.local and self.exists("metrics.jsonl"):
            with explained(self.path("metrics.jsonl")):
                sync_file(self.path("metrics.jsonl"))
                sync_directory(self.root)  # its name: it is no file that is written whole


def round_name(round: int) -> str:
    return f"rounds/{round:03d}"


def _shard_parts(stage: str, round: int, index: int) -> tuple[str, ...]:
    return (round_name(round), stage, shard_file(index))
