"""Verifying a whole run directory: every file that is not what the run wrote, and what depends on it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec

from ..data.records import PolicyRef
from ..errors import DamagedFile
from .checksums import differing_files, weights_hash
from .ledger import CHECKPOINT, GONE, Ledger, round_name
from .metrics_rows import rows_hash
from .model_files import local_copy
from .policies import checkpoint_of, read_ref
from .shard_files import shard_file

LEARN, MANIFEST = "learn.json", "manifest.json"
KEPT = ("comparisons", "judge-accuracy")  # what commands judged, once
MODELS = ("policy", "average", "reward_model", "critic", "optimizer")  # in learn.json


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """A file that is not what the run wrote.

    `path` is relative to the run directory where it lies in it; `round` is the round that it belongs to, None for what
    belongs to the whole run; `finished` says whether that round is.

    Example:
        Damage(path="rounds/002/pairs/shard-00001.parquet", how="its content is …", round=2, finished=False)
    """

    path: str
    how: str
    round: int | None = None
    finished: bool = False

    @property
    def depends(self) -> str:
        """What depends on the file, in words."""
        if self.path.startswith(KEPT):
            return "nothing: the command that wrote it judges again"
        if self.round is None:
            return {
                "run.yaml": "the whole run: what it is and what it began with",
                "metrics.jsonl": "nothing that the run computes: it reports steps and rounds",
            }.get(self.path, "every round to come")
        if self.finished:
            return f"what commands print of round {self.round}, and later rounds where they read it"
        return f"round {self.round} and every round after it"


def check_run(ledger: Ledger, progress: Callable[[str], None]) -> list[Damage]:
    """Every damaged file of a run, in the run's order.

    Args:
        progress: told of each part before it is verified.

    Raises:
        ConfigError: there is no run, or one of a format that this version does not read.
    """
    return list(_damages(ledger, progress))


def check_manifests(ledger: Ledger, *, resuming: bool = False) -> None:
    """Refuse a run in which a round's manifest is gone: a round begins after those before it are finished.

    Args:
        resuming: the newest round's may be gone, as a resume writes it again.

    Raises:
        DamagedFile: naming the manifest.
    """
    begun = [int(name) for name in ledger.names("rounds")] if ledger.has_checksums else []
    finished = [round for round in begun if ledger.exists(round_name(round), MANIFEST)]
    last = max(finished if resuming else begun, default=0)
    for round in range(last):
        if round not in finished:
            raise DamagedFile.at(ledger.path(round_name(round), MANIFEST), GONE)


def _damages(ledger: Ledger, progress: Callable[[str], None]) -> Iterator[Damage]:
    progress("run.yaml")
    try:
        header = ledger.header()
    except DamagedFile as error:
        yield _damage(ledger, error, "run.yaml")
        return
    progress("models")
    outside = {"initial_policy": header["initial_policy"], **header.get("models", {})}
    for kept in outside.values():
        yield from _model_damages(ledger, read_ref(ledger, {"version": 0, **kept}))
    for name, kept in header.get("inputs", {}).items():
        progress(f"inputs/{name}.arrow")
        yield from _input_damages(ledger, f"inputs/{name}.arrow", kept)
    for name in ledger.names("rounds"):
        progress(f"rounds/{name}")
        yield from _round_damages(ledger, int(name))
    for folder in KEPT:
        for name in ledger.names(folder):
            try:
                ledger.read_json(folder, name)
            except DamagedFile as error:
                yield _damage(ledger, error, f"{folder}/{name}")
    progress("metrics.jsonl")
    try:
        ledger.metrics()
    except DamagedFile as error:
        yield _damage(ledger, error, "metrics.jsonl")


def _input_damages(ledger: Ledger, path: str, kept: Mapping[str, Any]) -> Iterator[Damage]:
    if not ledger.exists(path):
        yield Damage(path=path, how="it is gone")
    elif "file_sha256" in kept and ledger.file_hash(path) != kept["file_sha256"]:
        yield Damage(path=path, how="its content is not what was frozen")


def _round_damages(ledger: Ledger, round: int) -> Iterator[Damage]:
    folder = round_name(round)
    finished = ledger.exists(folder, MANIFEST)
    manifest: dict[str, Any] = {}
    later = [int(name) for name in ledger.names("rounds") if int(name) > round]
    if later and not finished:  # a round begins after those before it are finished
        known = any(ledger.exists(round_name(other), MANIFEST) for other in later)
        yield Damage(path=f"{folder}/{MANIFEST}", how=GONE, round=round, finished=known)
    if finished:
        try:
            manifest = ledger.manifest(round)
        except DamagedFile as error:
            yield _damage(ledger, error, f"{folder}/{MANIFEST}", round=round, finished=True)
    stages = [name for name in ledger.names(folder) if ledger.shard_names(round, name)]
    recorded = [stage for stage, count in manifest.get("stage_shards", {}).items() if count]
    for stage in dict.fromkeys((*stages, *recorded)):
        yield from _stage_damages(ledger, round, stage, manifest, finished=finished)
    yield from _update_damages(ledger, round, finished=finished)
    lines = manifest.get("metrics_sha256")
    try:
        if lines is not None and rows_hash(ledger.metrics(), round) != lines:
            yield Damage(path="metrics.jsonl", how=f"the lines of round {round} are not those that were written")
    except DamagedFile:
        return  # the file itself is reported


def _stage_damages(
    ledger: Ledger, round: int, stage: str, manifest: Mapping[str, Any], *, finished: bool
) -> Iterator[Damage]:
    folder, names = round_name(round), ledger.shard_names(round, stage)
    whole = True
    for name in names:
        try:
            ledger.shard_bytes(folder, stage, name)
        except DamagedFile as error:
            whole = False
            yield _damage(ledger, error, f"{folder}/{stage}/{name}", round=round, finished=finished)
    path = f"{folder}/{stage}"
    for index in range(manifest.get("stage_shards", {}).get(stage, 0)):
        if shard_file(index) not in names:
            whole = False
            yield Damage(path=f"{path}/{shard_file(index)}", how=GONE, round=round, finished=True)
    if whole and manifest.get("stage_sha256", {}).get(stage) not in (None, ledger.stage_hash(round, stage)):
        yield Damage(path=path, how="its shards are not those of the manifest", round=round, finished=True)


def _update_damages(ledger: Ledger, round: int, *, finished: bool) -> Iterator[Damage]:
    """Of learn.json and checkpoint.json, and the models that they name."""
    folder = round_name(round)
    if round and finished and not ledger.exists(folder, LEARN):
        yield Damage(path=f"{folder}/{LEARN}", how=GONE, round=round, finished=True)
    if ledger.exists(folder, LEARN):
        try:
            learned = ledger.read_json(folder, LEARN)
        except DamagedFile as error:
            yield _damage(ledger, error, f"{folder}/{LEARN}", round=round, finished=finished)
        else:
            for name in MODELS:
                made = learned.get(name)
                if isinstance(made, dict) and made["version"] == round:
                    yield from _model_damages(ledger, read_ref(ledger, made), round=round, finished=finished)
    if ledger.exists(folder, CHECKPOINT) and not ledger.exists(folder, LEARN):
        try:
            steps = list(ledger.checkpoints(round)) or [len(ledger.checkpointed_steps(round))]
        except DamagedFile as error:
            yield _damage(ledger, error, f"{folder}/{CHECKPOINT}", round=round)
        else:
            for number in steps:
                yield from _model_damages(ledger, checkpoint_of(ledger, round, int(number)), round=round)


def _model_damages(
    ledger: Ledger, model: PolicyRef, *, round: int | None = None, finished: bool = False
) -> Iterator[Damage]:
    path = ledger.relative(model.path)
    fs, remote = fsspec.core.url_to_fs(model.path)
    if not fs.exists(remote):
        if not finished:  # a finished round's may have been deleted: run.keep_policies
            yield Damage(path=path, how="it is gone", round=round)
        return
    directory = local_copy(model.path)
    if model.files:
        for differing in differing_files(directory, model.files):
            yield Damage(path=path, how=differing, round=round, finished=finished)
    elif Path(directory).is_dir() and weights_hash(directory) != model.sha256:
        yield Damage(path=path, how="its weights were changed", round=round, finished=finished)


def _damage(
    ledger: Ledger, error: DamagedFile, path: str, *, round: int | None = None, finished: bool = False
) -> Damage:
    how = error.what.removeprefix(f"{ledger.path(path)} is damaged: ")
    return Damage(path=path, how=how, round=round, finished=finished)
