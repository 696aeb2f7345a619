"""A sweep on the real engines: additive judge, sampler log-probs as reference, an untied model, wandb offline."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.runs import TINY_SIZES, finish, start

from roundelay.orchestrator.data.records import Judgment
from roundelay.orchestrator.ledger.ledger import Ledger

pytestmark = pytest.mark.slow


def test_a_sweep_runs_every_combination_and_goes_on_where_it_was_interrupted(untied_model: Path, tmp_path: Path):
    """Two runs that differ in where the reference's log-probs come from. Interrupted in the first, once by Ctrl-C and
    once as Slurm and Kubernetes do, the sweep ends with 130; given again it finishes both; given another time it has
    nothing to do. Both references agree."""
    arguments = [
        "sweep",
        "judge=additive",
        "judge.votes=2",
        "judge.constrain_last_line=true",
        "judge.sampling.max_tokens=12",
        "objective.reference.logps=recompute,rollout",
        "model=local",
        f"model.path={untied_model}",
        "model.max_model_len=1024",
        "tracking.wandb=true",
        *TINY_SIZES,
        "run.rounds=1",
        "--root",
        str(tmp_path),
        "--name",
        "s",
    ]
    rounds = tmp_path / "s" / "000" / "rounds"
    _interrupt(start(*arguments), rounds / "000" / "manifest.json", signal.SIGINT)
    _interrupt(start(*arguments), rounds / "001" / "rollouts" / "shard-00000.parquet", signal.SIGTERM)

    output = finish(start(*arguments))
    assert output.count("finished") >= 2
    runs = [Ledger(str(tmp_path / "s" / name)) for name in ("000", "001")]
    for ledger in runs:
        assert ledger.finished_rounds() == [0, 1]
        health = ledger.manifest(1)["data"]["judge"]
        assert (health["parse_rate"], health["votes"]) == (1.0, 12 * 4 * 2)
        judgments = list(ledger.read_stage(1, "judgments", Judgment))
        assert all(j.text.splitlines()[-1] == f"Score: {j.score:.0f}" for j in judgments if j.score is not None)
        assert {j.vote for j in judgments} == {0, 1}
        offline = list(Path(ledger.root, "wandb").glob(f"offline-run-*-{ledger.header()['tracker_run_id']}"))
        assert offline, "wandb kept no offline run under the run's tracker id"
    losses = [ledger.manifest(1)["learn"]["loss"] for ledger in runs]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)

    again = start(*arguments)
    assert "finished" in finish(again, timeout_s=60)
    rows = [json.loads(line) for line in Path(runs[0].root, "metrics.jsonl").read_text().splitlines()]
    assert sum(row["stage"] == "round" for row in rows) == 2


def _interrupt(command: subprocess.Popen[str], sign: Path, by: signal.Signals) -> None:
    """Send the signal as soon as the file is there; the command says how to go on, and ends with 130."""
    deadline = time.monotonic() + 300
    while not sign.exists():
        assert command.poll() is None, command.communicate()[0]
        assert time.monotonic() < deadline, f"no {sign}"
        time.sleep(0.01)
    os.kill(command.pid, by)
    output, _ = command.communicate(timeout=120)
    assert command.returncode == 130, output
    assert "go on with" in output, output
