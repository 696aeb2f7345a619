"""The run that faults are played on, and what must come of it."""

import hashlib
import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .commands import Outcome, Within, command

NAME = "run"
# Of a manifest and of metrics.jsonl's rows: how long things took, and checksums of files that say so.
TIMES = ("seconds", "idle_share", "sha256", "metrics_sha256")
# Deleted once a newer round has taken it up; a power failure may bring it back.
WORKING_STATE = ("critic", "optimizer")


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """A run of two phases over scripted engines, and its undisturbed end.

    A reward model in round 1, PPO with a critic, a carried optimizer and checkpoints in rounds 2 and 3, each over four
    prompts in two shards.

    Example:
        Scene(folder=folder, words=("recipe=rlcd", "run.name=run"), calm=result(folder / "calm" / "run"))
    """

    folder: Path
    words: tuple[str, ...]
    calm: dict[str, Any]

    def begin(self, root: Path, within: Within = nullcontext) -> Outcome:
        """The run from its beginning, in a directory of `root`."""
        root.mkdir(exist_ok=True)
        return command("run", *self.words, f"run.root={root}", within=within)

    def finish(self, root: Path) -> str | None:
        """Go on with whatever is in `root` as a user would: what is wrong with the end, None if it is as it should be.

        Where the run was never there, it is begun.
        """
        run = root / NAME
        there = (run / "run.yaml").exists()
        outcome = command("resume", str(run)) if there else self.begin(root)
        if outcome.code != 0:
            return f"{'resume' if there else 'run'} ended with {outcome.code}: {outcome.output[-1500:]}"
        return difference(result(run), self.calm)


def make_scene(folder: Path) -> Scene:
    """Write model and prompts into `folder`, and play the run once undisturbed."""
    model, calm = folder / "model", folder / "calm"
    for name in ("train", "heldout"):
        rows = [json.dumps({"prompt": f"{name} question {number}?"}) for number in range(12)]
        (folder / f"{name}.jsonl").write_text("\n".join(rows))
    _in_child(lambda: _write_model(model))
    words = (
        "recipe=rlcd", "model=local", f"model.path={model}", "model.max_model_len=1024", f"run.name={NAME}",
        "run.rounds=3", "run.prompts_per_shard=2", "prompts=file", f"prompts.train.path={folder / 'train.jsonl'}",
        f"prompts.heldout.path={folder / 'heldout.jsonl'}", "evaluation.num_prompts=4",
        "phases.reward_model.prompts_per_round=4",
        "phases.reward_model.learner={pairs_per_step: 2, checkpoint_every_steps: 1}", "phases.ppo.prompts_per_round=4",
        "phases.ppo.learner={pairs_per_step: 2, checkpoint_every_steps: 1}",
    )  # fmt: skip
    scene = Scene(folder=folder, words=words, calm={})
    outcome = scene.begin(calm)
    assert outcome.code == 0, outcome.output
    return Scene(folder=folder, words=words, calm=result(calm / NAME))


def result(run: Path) -> dict[str, Any]:
    """What a run has come to, by file: what it sampled, judged, paired and learnt, and what it says of that."""
    found: dict[str, Any] = {}
    newest = max((path.parent.name for path in run.glob("rounds/*/manifest.json")), default="")
    for path in sorted(run.glob("rounds/**/*")):
        if path.parent.name in WORKING_STATE and path.parents[1].name < newest:
            continue
        if path.suffix in (".parquet", ".safetensors"):
            found[str(path.relative_to(run))] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.name == "manifest.json":
            found[str(path.relative_to(run))] = _row(path.read_text(errors="replace"))
    metrics = run / "metrics.jsonl"
    lines = metrics.read_text(errors="replace").splitlines() if metrics.exists() else []
    # A lost manifest is written again after steps of a later round: only the order within a round counts.
    rows = sorted(map(_row, lines), key=lambda row: row.get("round", -1) if isinstance(row, dict) else -1)
    return {**found, "metrics.jsonl": rows}


def difference(found: dict[str, Any], expected: dict[str, Any], apart_from: Iterable[str] = ()) -> str | None:
    """Where two results differ, None if nowhere. The files `apart_from` may be other ones."""
    for name in sorted({*found, *expected} - {*apart_from}):
        if found.get(name) != expected.get(name):
            return f"another result: {name}"
    return None


def copied(source: Path, target: Path) -> Path:
    """A fresh copy of a directory in `target`'s place."""
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(source, target, symlinks=True))


def _row(text: str) -> Any:
    """A JSON object without its times; text that is none as it is."""
    try:
        row = json.loads(text)
    except json.JSONDecodeError:
        return text
    return {name: value for name, value in row.items() if name not in TIMES} if isinstance(row, dict) else row


def _write_model(path: Path) -> None:
    from support.tiny_model import write_tiny_model

    write_tiny_model(path)


def _in_child(function: Callable[[], None]) -> None:
    """What imports torch stays out of this process, whose forks are to be light and of a single thread."""
    sys.stdout.flush()
    if (pid := os.fork()) == 0:
        try:
            function()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
