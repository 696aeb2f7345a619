"""One driver at a time, however many try and however they end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from roundelay.orchestrator.errors import ConfigError
from roundelay.orchestrator.ledger.lease import held

HOLD = """
import sys
from roundelay.orchestrator.ledger.lease import Lease
lease = Lease(sys.argv[1])
print(lease.token, flush=True)
sys.stdin.read()
"""


def test_a_second_driver_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    with held(str(tmp_path)):
        with pytest.raises(ConfigError, match="another driver is at work") as caught, held(str(tmp_path)):
            pass
        assert f"process {os.getpid()} on" in caught.value.what
    with held(str(tmp_path)):
        pass


def test_a_driver_that_is_killed_holds_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None and other.stdout.readline()
        with pytest.raises(ConfigError, match=f"process {other.pid} on"), held(str(tmp_path)):
            pass
        other.kill()
        other.wait()
    with held(str(tmp_path)):
        pass
