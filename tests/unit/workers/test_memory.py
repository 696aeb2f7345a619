"""What a process that keeps its memory gives back."""

import os
import subprocess
import sys

from roundelay.launch.run.composition import KEEP_MEMORY

SCRIPT = """
from roundelay.workers.memory import give_back

def resident():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) >> 10

pieces = [bytearray(1 << 20) for _ in range(400)]
pieces[:-1] = []  # the last one stays, and all the rest is below it
kept = resident()
give_back()
print(kept, resident())
"""


def test_free_pieces_below_one_in_use_are_returned() -> None:
    """400 MiB, of which one stays in use: they are kept when they are freed, and are gone after it."""
    environment = {**os.environ, **KEEP_MEMORY, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    kept, left = map(int, done.stdout.split())
    assert kept > 400 and left < kept - 350
