"""A process that is killed, refused by the disk, or cut off from power, at every operation and at random moments."""

import os
import random
import shutil
import signal
import time
from collections.abc import Collection
from pathlib import Path

from .commands import Command
from .operations import REFUSED, counted, killed, power_lost, refused
from .report import Report
from .scene import NAME, Scene


def operations_of(scene: Scene, folder: Path) -> list[str]:
    """Every operation of the undisturbed run, in order: "fsync run/rounds/001/learn.json"."""
    root, log = folder / "counted", folder / "operations.log"
    outcome = scene.begin(root, counted(root, log))
    assert outcome.code == 0, outcome.output
    return log.read_text().splitlines()


def kill_at(scene: Scene, folder: Path, report: Report, numbers: Collection[int]) -> None:
    """SIGKILL before each of these operations; then the run goes on."""
    for number in numbers:
        root = folder / f"killed-{number}"
        outcome = scene.begin(root, killed(root, lambda n, kind, path, at=number: n == at))
        case = f"SIGKILL before operation {number}"
        wrong = f"ended with {outcome.code}" if outcome.code != -signal.SIGKILL else scene.finish(root)
        report.add("SIGKILL at a file operation", wrong or "held", case, outcome)
        shutil.rmtree(root)


def refuse_from(scene: Scene, folder: Path, report: Report, numbers: Collection[int]) -> None:
    """The disk refuses from each of these operations on, until the command has ended; then the run goes on."""
    for number in numbers:
        for code in REFUSED:
            root = folder / f"refused-{number}-{code}"
            outcome = scene.begin(root, refused(root, code, number))
            row, case = f"the system refuses: {os.strerror(code)}", f"{os.strerror(code)} from operation {number} on"
            if outcome.code != 0:  # the last operations of a run may be refused without harm
                told = outcome.told and os.strerror(code) in outcome.output and str(root) in outcome.output
                report.add(row, "named" if told else f"ended with {outcome.code}", case, outcome)
            report.add(f"{row}; then resumed", scene.finish(root) or "held", case, outcome)
            shutil.rmtree(root)


def cut_power(scene: Scene, folder: Path, report: Report, numbers: Collection[int]) -> None:
    """What was not synced is lost before each of these operations; then the run goes on."""
    root, left = folder / "power", folder / "left"
    root.mkdir()
    left.mkdir()
    outcome = scene.begin(root, power_lost(root, set(numbers), left))
    assert outcome.code == 0, outcome.output
    for state in sorted(left.iterdir()):
        number, way = state.name.split("-")
        names = "no name" if way == "strict" else "every name"
        report.add(
            f"power lost, {names} on the disk that was not synced",
            scene.finish(state) or "held",
            f"before operation {number}",
        )
        shutil.rmtree(state)


def kill_at_random(scene: Scene, folder: Path, report: Report, times: int, seed: int = 0) -> None:
    """SIGKILL at a random moment of a run and of each of its resumes, until one of them ends."""
    rng, made, number = random.Random(seed), 0, 0
    while made < times:
        root, number = folder / f"random-{number}", number + 1
        root.mkdir()
        lives = rng.randrange(1, 5)
        for _ in range(lives):
            there = (root / NAME / "run.yaml").exists()
            words = ("resume", str(root / NAME)) if there else ("run", *scene.words, f"run.root={root}")
            life = Command(*words)
            time.sleep(rng.uniform(0.0, 2.0))
            if not life.is_over():
                made += 1
            life.kill()
        report.add(
            "SIGKILL at random moments, run by run", scene.finish(root) or "held", f"run {number}, {lives} lives"
        )
        shutil.rmtree(root)
