"""Running the real command line on tiny models, and reading what it left."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from roundelay.orchestrator.data.records import PairingOutcome, pairs_of
from roundelay.orchestrator.ledger.ledger import Ledger

ROUNDELAY = str(Path(sys.executable).parent / "roundelay")
TINY_SIZES = (
    "run.rounds=2",
    "run.prompts_per_round=12",
    "run.prompts_per_shard=2",
    "generation.sampling.max_tokens=24",
    "evaluation.num_prompts=6",
    "evaluation.sampling.max_tokens=24",
    "generation.truncated=keep",
    "learner.learning_rate=1e-3",
    "learner.pairs_per_step=4",
    "learner.pairs_per_device=2",
)


def tiny_overrides(model: Path, root: Path, name: str, *more: str) -> list[str]:
    """Overrides that make any recipe a run of seconds on a tiny model."""
    return [
        "model=local",
        f"model.path={model}",
        "model.max_model_len=1024",
        f"run.root={root}",
        f"run.name={name}",
        *TINY_SIZES,
        *more,
    ]


def start(*args: str) -> subprocess.Popen[str]:
    """The command line."""
    return spawn(ROUNDELAY, *args)


def spawn(*command: str) -> subprocess.Popen[str]:
    """A command in a process group of its own, which heeds Ctrl-C: what a script runs in its background, these tests
    perhaps, is started deaf to it, and so is what that starts."""
    return subprocess.Popen(
        command,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "COLUMNS": "200"},
    )


def finish(process: subprocess.Popen[str], timeout_s: float = 600) -> str:
    """Its output; fails the test with it unless the command succeeded."""
    output, _ = process.communicate(timeout=timeout_s)
    assert process.returncode == 0, output
    return output


def kill_everything(process: subprocess.Popen[str]) -> None:
    """SIGKILL to the driver and all that it started (Ray's daemons, actors), at once."""
    family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(family, timeout=30)
    process.communicate()


def pair_keys(ledger: Ledger, round: int) -> list[tuple[str, tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """(prompt id, prompt, chosen and rejected token ids) of every pair, in order."""
    return [
        (p.prompt.id, p.chosen.prompt_token_ids, p.chosen.token_ids, p.rejected.token_ids)
        for p in pairs_of(list(ledger.read_stage(round, "pairs", PairingOutcome)))
    ]


def prompt_ids(ledger: Ledger, round: int) -> list[str]:
    """The ids of every prompt that the round accounts for, in order."""
    return [prompt_id(outcome) for outcome in ledger.read_stage(round, "pairs", PairingOutcome)]


def prompt_id(outcome: PairingOutcome) -> str:
    made = outcome.pair or outcome.group
    if made is not None:
        return made.prompt.id
    assert outcome.dropped is not None
    return outcome.dropped.prompt_id


def identity(made: Mapping[str, Any]) -> dict[str, Any]:
    """A model as rounds that use it name it, of what the round that made it recorded."""
    return {name: made[name] for name in ("version", "path", "sha256")}


def shards(ledger: Ledger, round: int, stage: str) -> int:
    """How many of a stage's shards are finished."""
    return len(list(Path(ledger.root, f"rounds/{round:03d}", stage).glob("shard-*.parquet")))


def has(ledger: Ledger, *parts: str) -> bool:
    """Whether a file or directory of the run is there."""
    return Path(ledger.root, *parts).exists()


def kill_in(stage: str, reached: Callable[[Ledger], bool], process: subprocess.Popen[str], ledger: Ledger) -> None:
    """SIGKILL everything a random moment after `stage` was seen to begin."""
    deadline = time.monotonic() + 300
    while not reached(ledger):
        assert process.poll() is None, f"the run ended before {stage}: {process.communicate()[0]}"
        assert time.monotonic() < deadline, f"the run never reached {stage}"
        time.sleep(0.001)
    time.sleep(random.uniform(0.0, 0.1))
    kill_everything(process)
