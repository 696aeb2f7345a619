"""Making a damaged run resumable: what a resume can compute again is set aside, with all that was made of it.

Nothing is deleted: files are moved to `damaged/TIME/`. A finished round is not touched, but for the newest one's
manifest, which a resume writes again.
"""

import posixpath
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from ..errors import ConfigError
from .checking import KEPT, LEARN, MANIFEST, MODELS, Damage
from .durable import explained, make_directories, sync_directory
from .layout import PROMPTS, SELECTED, STAGES, row_of
from .ledger import CHECKPOINT, GONE, Ledger, round_name
from .metrics_rows import metrics_lines, text_of
from .shard_files import checksum_file

SET_ASIDE = "damaged"
# In order. All other stages evaluate.
BEFORE_UPDATE = [stage.name for stage in STAGES.values() if stage.before_update]
UPDATE = (LEARN, CHECKPOINT, "checkpoint", "trained", "candidate", *MODELS)


def can_heal(ledger: Ledger, damage: Damage) -> bool:
    """Whether a resume can compute the file again once it is set aside."""
    if damage.path.startswith(KEPT):
        return True
    if damage.path == "metrics.jsonl":
        return "no row of metrics" in damage.how
    if damage.path.endswith(f"/{MANIFEST}"):
        if damage.how == GONE:
            return not damage.finished
        return damage.round == ledger.finished_rounds()[-1]
    return damage.round is not None and not damage.finished


def heal(ledger: Ledger, damages: Sequence[Damage]) -> list[str]:
    """Set aside what `can_heal` says; the paths that were moved, relative to the run directory.

    Raises:
        ConfigError: the run directory is no local one.
        RunError: the disk refuses.
    """
    if not ledger.local:
        raise ConfigError(f"{ledger.url} is on no local disk", "move the damaged files yourself, then resume")
    target = f"{SET_ASIDE}/{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    moved: list[str] = []
    for damage in damages:
        if not can_heal(ledger, damage):
            continue
        for path in with_what_follows(ledger, damage):
            if ledger.exists(path):
                _move(ledger, path, f"{target}/{path}")
                moved.append(path)
        if damage.path == "metrics.jsonl":
            _keep_whole_lines(ledger, f"{target}/metrics.jsonl")
    return moved


def with_what_follows(ledger: Ledger, damage: Damage) -> list[str]:
    """The damaged file, and everything of its round that was made of it."""
    if damage.round is None or damage.path.endswith(f"/{MANIFEST}"):
        return [damage.path]
    folder = round_name(damage.round)
    names = ledger.names(folder)
    evaluations = [name for name in names if _place(name) is None and name not in UPDATE and name != MANIFEST]
    parts = damage.path.removeprefix(f"{folder}/").split("/")
    update = [f"{folder}/{name}" for name in (*UPDATE, *evaluations)]
    if len(parts) == 1 or parts[0] in UPDATE:
        return update
    stage, shard = parts
    if (place := _place(stage)) is None:
        return [path for name in evaluations for path in _shard(f"{folder}/{name}", shard)]
    later = [name for name in names if (other := _place(name)) is not None and other > place]
    if stage == PROMPTS.name:  # all of the round's responses are to them
        return [f"{folder}/{name}" for name in (stage, *later)] + update
    whole = [f"{folder}/{name}" for name in later if name == SELECTED.name]  # a selection may be of the whole round
    shards = [path for name in (stage, *later) if name != SELECTED.name for path in _shard(f"{folder}/{name}", shard)]
    return [*shards, *whole, *update]


def _place(stage: str) -> int | None:
    """Where a stage stands before the update, None for what does not."""
    row = row_of(stage)
    return BEFORE_UPDATE.index(row.name) if row is not None and row.before_update else None


def _shard(folder: str, name: str) -> list[str]:
    """A shard with its checksum; the file first, so that no shard is left without one."""
    return [f"{folder}/{name}", f"{folder}/{checksum_file(name)}"]


def _move(ledger: Ledger, path: str, target: str) -> None:
    source, final = ledger.path(path), ledger.path(target)
    make_directories(posixpath.dirname(final))
    with explained(source):
        Path(source).rename(final)
        sync_directory(posixpath.dirname(source))


def _keep_whole_lines(ledger: Ledger, damaged: str) -> None:
    """Write metrics.jsonl anew, of what can be read of the damaged one."""
    path = ledger.path(damaged)
    whole = []
    for line in Path(path).read_bytes().splitlines(keepends=True):
        whole.extend(metrics_lines(line, path))
    ledger.write_bytes(text_of(whole), "metrics.jsonl")
