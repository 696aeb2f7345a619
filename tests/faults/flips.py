"""One flipped bit at a random place of a file, many times a kind of file, read through the ledger."""

import json
import os
import random
import re
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from roundelay.orchestrator.data.records import Judgment, PairingOutcome, PairLogps, PolicyRef, Rollout
from roundelay.orchestrator.errors import UserError
from roundelay.orchestrator.ledger import model_files
from roundelay.orchestrator.ledger.ledger import Ledger, round_name
from roundelay.orchestrator.ledger.model_files import verified_copy
from roundelay.orchestrator.ledger.policies import checkpoint_of, policy_of
from roundelay.orchestrator.prompts import store as prompts
from roundelay.orchestrator.prompts.store import PromptStore

from .engines import digest
from .report import Report

# A file of every kind that the run of `damage.prepare` has, and what reads it.
READERS: dict[str, tuple[str, Callable[[Ledger], Any]]] = {
    "run.yaml": ("run.yaml", lambda ledger: ledger.header()),
    "prompts": ("inputs/train.arrow", lambda ledger: list(PromptStore(ledger, "train"))),
    "rollouts": ("rounds/002/rollouts/shard-00000.parquet", lambda ledger: _stage(ledger, 2, "rollouts", Rollout)),
    "judgments": ("rounds/002/judgments/shard-00000.parquet", lambda ledger: _stage(ledger, 2, "judgments", Judgment)),
    "pairs": ("rounds/001/pairs/shard-00000.parquet", lambda ledger: _stage(ledger, 1, "pairs", PairingOutcome)),
    "log-probs": (
        "rounds/001/eval-logps/shard-00000.parquet",
        lambda ledger: _stage(ledger, 1, "eval-logps", PairLogps),
    ),
    "checksum of a shard": (
        "rounds/002/rollouts/_shard-00000.json",
        lambda ledger: _stage(ledger, 2, "rollouts", Rollout),
    ),
    "learn.json": ("rounds/002/learn.json", lambda ledger: ledger.read_json(round_name(2), "learn.json")),
    "manifest.json": ("rounds/002/manifest.json", lambda ledger: ledger.manifest(2)),
    "checkpoint.json": ("rounds/003/checkpoint.json", lambda ledger: ledger.checkpointed_steps(3)),
    "weights": ("rounds/002/policy/model.safetensors", lambda ledger: _model(policy_of(ledger, 2))),
    "tokenizer.json": ("rounds/002/policy/tokenizer.json", lambda ledger: _model(policy_of(ledger, 2))),
    "config.json": ("rounds/002/policy/config.json", lambda ledger: _model(policy_of(ledger, 2))),
    "checkpoint": ("rounds/003/checkpoint/1/model.safetensors", lambda ledger: _model(checkpoint_of(ledger, 3, 1))),
}


def flip_bits(run: Path, report: Report, *, flips: int, kinds: Collection[str] = READERS) -> None:
    """Flip one bit after another of each kind of file in `run`, read by a process of its own for the kind."""
    for kind in kinds:
        name, read = READERS[kind]
        path, rng = run / name, random.Random(kind)
        data = path.read_bytes()
        places = [(rng.randrange(len(data)), rng.randrange(8)) for _ in range(flips)]
        with tempfile.NamedTemporaryFile("r+") as answers:
            if (pid := os.fork()) == 0:
                _be_reader(run, path, places, read, Path(answers.name))
            os.waitpid(pid, 0)
            replace(path, data)
            expected, *found = json.load(answers)
        assert expected.startswith("records"), expected
        for (position, bit), said in zip(places, found, strict=True):
            verdict = _verdict(said, expected, name)
            report.add(f"a bit flipped in {kind}, read", verdict, f"{name}, byte {position}, bit {bit}")


def replace(path: Path, data: bytes) -> None:
    """Put another file in a file's place: who has mapped the old one keeps it."""
    other = path.with_name("flipped")
    other.write_bytes(data)
    other.rename(path)


def _verdict(found: str, expected: str, name: str) -> str:
    what, _, said = found.partition(": ")
    if what == "records":
        return "held" if found == expected else "read as something else"
    if what == "UserError":
        shard = re.sub(r"_(shard-\d+)\.json$", r"\1.parquet", name)  # a checksum is named by what it is of
        return "named" if all(part in said for part in shard.rsplit("/", 1)) else "an error that does not name the file"
    return f"raised what is no message: {said[:200]}"


def _be_reader(
    run: Path, path: Path, places: Sequence[tuple[int, int]], read: Callable[[Ledger], Any], answers: Path
) -> None:
    """Write what is read of the whole file, and of the file with a bit flipped at each of `places`."""
    try:
        data = path.read_bytes()
        said = [_read(run, read)]
        for position, bit in places:
            replace(path, data[:position] + bytes([data[position] ^ (1 << bit)]) + data[position + 1 :])
            said.append(_read(run, read))
        answers.write_text(json.dumps(said))
    finally:
        os._exit(0)


def _read(run: Path, read: Callable[[Ledger], Any]) -> str:
    """What is read, as a digest, or the error. What this process has verified once it verifies again."""
    for verified_once in (prompts._verify, model_files._verify):
        verified_once.cache_clear()
    try:
        return f"records: {digest(read(Ledger(str(run))))}"
    except UserError as error:
        return f"UserError: {error}"
    except BaseException as error:
        return f"raised: {type(error).__name__}: {error}"


def _stage(ledger: Ledger, round: int, stage: str, cls: type) -> list[Any]:
    return list(ledger.read_stage(round, stage, cls))


def _model(model: PolicyRef | None) -> list[tuple[str, bytes]]:
    """A model's files, verified as an engine verifies them."""
    assert model is not None
    return [(path.name, path.read_bytes()) for path in sorted(Path(verified_copy(model)).iterdir())]
