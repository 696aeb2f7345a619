"""What checksums and syncing to the disk cost: a round of 10,000 prompts with them and without, side by side.

    python benchmarks/integrity.py                   # 10,000 prompts in shards of 50, three times each way
    python benchmarks/integrity.py 2000 --repeats 1

Engines are scripted and answer at once (`driver_memory`): the seconds are the driver's and the ledger's own, and the
difference between the two ways is what integrity adds. It is then set against rounds whose sampling takes as long as so
many generated tokens take at a stated rate; judging and learning, which take longer still, are left out. "Without"
writes every file in one piece and renames it, but syncs nothing, writes and verifies no checksum.

Models are hashed when they are written and again when they are loaded: the rate of that is measured on a file of 1 GiB.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from unittest.mock import patch

from driver_memory import run_round

from roundelay.orchestrator.ledger import durable, ledger
from roundelay.orchestrator.ledger.checksums import file_hash
from roundelay.orchestrator.ledger.ledger import Ledger
from roundelay.orchestrator.prompts import store as prompts

TOKENS = 4 * 300  # a prompt: four samples of 300 tokens
RATES = {"SmolLM2-135M on two CPU cores": 150, "a GPU": 5_000, "a node of eight GPUs": 40_000}  # tokens a second
AIM = 0.03


@contextmanager
def without_integrity() -> Iterator[None]:
    """Nothing is synced, and no checksum is written or verified."""

    def write_shard(self: Ledger, stage: str, shard, cls, records) -> None:
        data = ledger.encoded(cls, records)
        self.write_bytes(data, ledger.round_name(shard.round), stage, ledger.shard_file(shard.index))

    with ExitStack() as stack:
        stack.enter_context(patch.object(os, "fsync", lambda descriptor: None))
        stack.enter_context(patch.object(durable, "sync_directory", lambda path: None))
        stack.enter_context(patch.object(Ledger, "write_shard", write_shard))
        stack.enter_context(patch.object(Ledger, "shard_bytes", Ledger.read_bytes))
        stack.enter_context(patch.object(ledger, "sealed", lambda value, place: dict(value)))
        stack.enter_context(patch.object(ledger, "unsealed", lambda value, place, path: value))
        stack.enter_context(patch.object(prompts, "_verify", lambda *_: None))
        yield


def seconds(num_prompts: int, folder: Path, *, integrity: bool) -> float:
    """One round's wall time."""
    with tempfile.TemporaryDirectory(dir=folder) as directory, ExitStack() as stack:
        if not integrity:
            stack.enter_context(without_integrity())
        started = time.monotonic()
        made = run_round(num_prompts, Path(directory))
        assert made["pairs"] == num_prompts
        return time.monotonic() - started


def hash_rate(folder: Path) -> float:
    """GiB a second."""
    path = folder / "weights"
    path.write_bytes(os.urandom(1 << 20) * 1024)
    started = time.monotonic()
    file_hash(path)
    rate = 1.0 / (time.monotonic() - started)
    path.unlink()
    return rate


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("prompts", type=int, nargs="?", default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(), help="on the disk to measure (default: here)")
    arguments = parser.parse_args()
    seconds(200, arguments.folder, integrity=True)  # warm
    by_way: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(arguments.repeats):
        for integrity in by_way:
            by_way[integrity].append(seconds(arguments.prompts, arguments.folder, integrity=integrity))
    bare, whole = median(by_way[False]), median(by_way[True])
    added = whole - bare
    print(
        f"{arguments.prompts:,} prompts, scripted engines: {bare:.2f} s without, {whole:.2f} s with checksums and syncs"
    )
    print(f"ratio {whole / bare:.3f}; added {added:.2f} s, {1000 * added / arguments.prompts:.2f} ms a prompt")
    worst = 0.0
    for name, rate in RATES.items():
        sampling = arguments.prompts * TOKENS / rate
        worst = max(worst, share := max(0.0, added) / (sampling + whole))
        print(f"of a round that samples {TOKENS} tokens a prompt at {rate:,} a second ({name}): {share:.2%}")
    print(f"models: {hash_rate(arguments.folder):.2f} GiB hashed a second")
    return int(worst > AIM)


if __name__ == "__main__":
    sys.exit(main())
