"""The sandbox of benchmarks/, interrupted: it leaves nothing running."""

import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
from support.runs import kill_everything, spawn

pytestmark = [pytest.mark.slow, pytest.mark.long]
SANDBOX = Path(__file__).parents[2] / "benchmarks" / "sandbox.py"


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sandbox_ends_its_lanes_and_their_engines(by: signal.Signals, tmp_path: Path):
    """As soon as a lane's first run begins, whose engines are up by then."""
    command = spawn(sys.executable, str(SANDBOX), str(tmp_path), "--seeds", "1", "--lanes", "1", "--recipes", "raft")
    try:
        deadline = time.monotonic() + 600
        while not (tmp_path / "seed-0" / "start" / "run.yaml").exists():
            assert command.poll() is None, command.communicate()[0]
            assert time.monotonic() < deadline, "no run was begun"
            time.sleep(0.01)
        family = psutil.Process(command.pid).children(recursive=True)
        assert any("raylet" in member.name() for member in family)
        os.kill(command.pid, by)
        output, _ = command.communicate(timeout=60)
        assert command.returncode == 1, output
        assert "the same command goes on" in output, output
        _, left = psutil.wait_procs(family, timeout=120)  # Ray's agents notice late that their node is gone
        assert not left
    finally:
        if command.poll() is None:
            kill_everything(command)
