"""The driver's memory does not grow with the number of prompts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "driver_memory.py"
TOLERANCE_MIB = 24


def run_round(num_prompts: int) -> dict[str, float]:
    command = [sys.executable, str(SCRIPT), "--one", str(num_prompts)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    return json.loads(done.stdout.splitlines()[-1])


def test_a_hundred_times_the_prompts_need_no_more_memory():
    """A round of 40,000 prompts peaks within a few MiB of a round of 400; every prompt's pair reaches the learner.

    The tolerance is less than the 40,000 prompts' records alone would take (over 40 MiB as Python objects): what it
    allows is index arrays and mapped pages of the prompt file.
    """
    small, large = run_round(400), run_round(40_000)
    assert (small["pairs"], large["pairs"]) == (400, 40_000)
    assert large["peak_mib"] < small["peak_mib"] + TOLERANCE_MIB
