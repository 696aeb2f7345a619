"""Prompts: frozen into the run directory as `data` reads them from the user's files, and taken from there.

A run reads its own frozen copy ever after: editing the source file changes nothing that is under way. Rows stream
through, so memory does not grow with their number.
"""

import functools
import hashlib
from array import array
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import pyarrow as pa

from ..data.files import ROWS_PER_BATCH
from ..data.records import Prompt
from ..data.rows import placed_prompts, read_prompts
from ..data.sources import PromptsConfig, PromptSource
from ..data.tables import arrow_schema, from_table, to_table
from ..errors import ConfigError, DamagedFile
from ..ledger.ledger import Ledger


def freeze_prompts(
    ledger: Ledger,
    config: PromptsConfig,
    *,
    field: str,
    source: PromptSource,
    name: str,
    responses: Sequence[str] = (),
    attributes: Sequence[str] = (),
    without: Collection[int] = (),
) -> dict[str, Any]:
    """Copy a source's prompts into the run directory as `inputs/NAME.arrow`, but for those at the places `without`.

    Returns:
        what `run.yaml` keeps of it: the number of rows, their hash, and the hash of the file that holds them here.

    Raises:
        ConfigError: as `read_prompts`, or the set is empty, or two rows share an id.
    """
    digest, ids, count = hashlib.sha256(), array("Q"), 0
    sink = pa.BufferOutputStream() if not ledger.local else None
    ledger.fs.makedirs(ledger.path("inputs"), exist_ok=True)
    target = sink if sink is not None else pa.OSFile(ledger.path("inputs", f"{name}.arrow"), "wb")
    with closing(target), pa.ipc.new_file(target, arrow_schema(Prompt)) as writer:
        batch: list[Prompt] = []
        described: set[str] = set()
        for place, prompt in enumerate(read_prompts(source, config, field, responses, attributes)):
            if place in without:
                continue
            count += 1
            content = (prompt.id, [(m.role, m.content) for m in prompt.messages])
            given = tuple(part for part in (prompt.responses, prompt.labels) if part)
            digest.update(repr((*content, *given)).encode())
            described |= {name for name, label in zip(attributes, prompt.labels, strict=True) if label is not None}
            ids.append(_id_hash(prompt.id))
            batch.append(prompt)
            if len(batch) == ROWS_PER_BATCH:
                writer.write_table(to_table(Prompt, batch))
                batch = []
        if batch:
            writer.write_table(to_table(Prompt, batch))
        if count == 0:
            raise ConfigError(f"{field}={source.path} holds no prompts", "give a file with at least one row")
        _check_unique(ids, source, config, field, responses, without)
        if silent := [name for name in attributes if name not in described]:
            raise ConfigError(
                f"prompts.seed.attributes has {', '.join(silent)}, but no row of {source.path} says anything of it",
                "give the names of columns that hold numbers",
            )
    if sink is not None:
        ledger.write_bytes(sink.getvalue().to_pybytes(), "inputs", f"{name}.arrow")
    return {
        "source": source.path,
        "rows": count,
        "sha256": digest.hexdigest(),
        "file_sha256": ledger.file_hash("inputs", f"{name}.arrow"),
    }


def freeze_seed(ledger: Ledger, config: PromptsConfig, without: Collection[int] = ()) -> dict[str, Any]:
    """`freeze_prompts` of `prompts.seed`, whose rows hold given responses.

    Raises:
        ConfigError: as `freeze_prompts`, or no file is named.
    """
    if config.seed.path is None:
        raise ConfigError(
            "a phase learns from given responses, or learns to judge them, but prompts.seed.path names no file",
            "set prompts.seed.path to a file of prompts with responses, and prompts.seed.responses to their columns",
        )
    return freeze_prompts(
        ledger,
        config,
        field="prompts.seed.path",
        source=config.seed.source,
        name="seed",
        responses=config.seed.responses,
        attributes=config.seed.attributes,
        without=without,
    )


class PromptStore:
    """The frozen prompts of a run, or the first `limit` of them. Memory-mapped where the run directory is local.

    Raises:
        DamagedFile: they are not what was frozen; a process compares them once.
    """

    def __init__(self, ledger: Ledger, name: str, limit: int | None = None):
        path = ledger.path("inputs", f"{name}.arrow")
        if not ledger.exists("inputs", f"{name}.arrow"):
            raise DamagedFile.at(path, "it is gone")
        recorded = ledger.header().get("inputs", {}).get(name, {}) if ledger.exists("run.yaml") else {}
        if "file_sha256" in recorded:
            _verify(ledger, name, recorded["file_sha256"])
        try:
            self._reader = pa.ipc.open_file(pa.memory_map(path) if ledger.local else ledger.fs.open(path, "rb"))
        except pa.ArrowInvalid as error:
            raise DamagedFile.at(path, f"it holds no prompts ({error})") from error
        sizes = [self._reader.get_batch(index).num_rows for index in range(self._reader.num_record_batches)]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._len = min(int(self._starts[-1]), limit) if limit is not None else int(self._starts[-1])

    def __len__(self) -> int:
        return self._len

    def take(self, indices: Sequence[int] | np.ndarray) -> tuple[Prompt, ...]:
        """The prompts at `indices`, in that order."""
        batches = np.searchsorted(self._starts, indices, side="right") - 1
        tables = [
            pa.Table.from_batches([self._reader.get_batch(int(batch)).slice(int(index - self._starts[batch]), 1)])
            for index, batch in zip(indices, batches, strict=True)
        ]
        return tuple(from_table(Prompt, pa.concat_tables(tables))) if tables else ()

    def __iter__(self) -> Iterator[Prompt]:
        for start in range(0, len(self), ROWS_PER_BATCH):
            yield from self.take(range(start, min(start + ROWS_PER_BATCH, len(self))))


@functools.lru_cache(maxsize=64)
def _verify(ledger: Ledger, name: str, sha256: str) -> None:
    """Compare a file of frozen prompts with its recorded hash.

    Raises:
        DamagedFile: they differ.
    """
    if ledger.file_hash("inputs", f"{name}.arrow") != sha256:
        raise DamagedFile.at(ledger.path("inputs", f"{name}.arrow"), "its content is not what was frozen")


def _id_hash(identity: str) -> int:
    return int.from_bytes(hashlib.blake2b(identity.encode(), digest_size=8).digest(), "big")


def _check_unique(
    ids: array,
    source: PromptSource,
    config: PromptsConfig,
    field: str,
    responses: Sequence[str],
    without: Collection[int],
) -> None:
    values, counts = np.unique(np.frombuffer(ids, dtype=np.uint64), return_counts=True)
    repeated = {int(value) for value in values[counts > 1]}
    if not repeated:
        return
    seen: dict[str, str] = {}
    for place, (where, prompt) in enumerate(placed_prompts(source, config, field, responses)):
        if place not in without and _id_hash(prompt.id) in repeated:
            if prompt.id in seen:
                raise ConfigError(
                    f"{where}: prompt id {prompt.id!r} is used twice (first: {seen[prompt.id]})",
                    "give every prompt its own id, and take out repeated prompts",
                )
            seen[prompt.id] = where
