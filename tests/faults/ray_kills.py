"""The same runs on a real Ray, whose processes are killed: all of them, a single actor, the raylet, the GCS."""

import itertools
import os
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import psutil

from .commands import Command, Outcome
from .drivers import slowly
from .report import Report
from .scene import NAME, Scene
from .scripted_cluster import in_ray

VICTIMS = ("driver and all it started", "an actor", "raylet", "gcs_server")
BY_RAY = "GCS may have been killed"  # then Ray itself ends the driver, after a minute, in words of its own
PATIENCE_S = 180.0  # until a run whose Ray is broken must have ended


def kill_in_ray(scene: Scene, folder: Path, report: Report, times: int, seed: int = 0) -> None:
    """SIGKILL to one victim after another, at a random moment of a run; then the run goes on."""
    rng, made, numbers = random.Random(seed), 0, itertools.count()
    while made < times:
        number, victim = next(numbers), VICTIMS[made % len(VICTIMS)]
        root = folder / f"ray-{number}"
        root.mkdir()
        life = Command("run", *scene.words, f"run.root={root}", within=in_a_group, cluster=in_ray)
        outcome = _killed(life, root, victim, rng)
        if outcome is None:
            continue  # it had ended already
        made += 1
        row, case = f"on Ray, SIGKILL to: {victim}", f"{victim}, run {number}"
        if victim != VICTIMS[0] and outcome.code != 0:
            told = outcome.told or BY_RAY in outcome.output
            report.add(row, "named" if told else f"ended with {outcome.code}", case, outcome)
        report.add(f"{row}; then resumed", scene.finish(root) or "held", case, outcome)
        shutil.rmtree(root)


@contextmanager
def in_a_group() -> Iterator[None]:
    """A group of its own, and engines that take their time."""
    os.setsid()
    with slowly(), patch.dict(os.environ, {"RAY_USAGE_STATS_ENABLED": "0"}):
        yield


def _killed(life: Command, root: Path, victim: str, rng: random.Random) -> Outcome | None:
    """How the command ended after its victim was killed at a random moment of round 1 or later; None where there was
    none left to kill."""
    begun, deadline = root / NAME / "rounds/001/rollouts", time.monotonic() + PATIENCE_S
    while not begun.exists():
        if life.is_over() or time.monotonic() > deadline:
            return _end(life)
        time.sleep(0.01)
    time.sleep(rng.uniform(0.0, 2.5))
    family = psutil.Process(life.pid).children(recursive=True)
    called = {"an actor": "ray::"}.get(victim, victim)
    chosen = [process for process in family if called in _words(process)]
    if life.is_over() or (victim != VICTIMS[0] and not chosen):
        _end(life)
        return None
    if victim == VICTIMS[0]:
        return _end(life)
    rng.choice(chosen).kill()
    deadline = time.monotonic() + PATIENCE_S
    while not life.is_over() and time.monotonic() < deadline:
        time.sleep(0.05)
    return _end(life) if not life.is_over() else _reaped(life, family)


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()[:1])
    except psutil.Error:
        return ""


def _end(life: Command) -> Outcome:
    """Kill the command with all it started."""
    return _reaped(life, psutil.Process(life.pid).children(recursive=True))


def _reaped(life: Command, family: list[psutil.Process]) -> Outcome:
    outcome = life.wait() if life.is_over() else life.kill()
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(family, timeout=30)
    return outcome
