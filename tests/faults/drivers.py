"""Two drivers of one run at a time, in every order: one of them works, the other is told."""

import itertools
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from .commands import Command, command
from .engines import PAUSE
from .report import Report
from .scene import NAME, Scene, copied, difference, result


def two_drivers(
    scene: Scene,
    begun: Path,
    folder: Path,
    report: Report,
    *,
    firsts: Sequence[str] = ("run", "resume"),
    at_once: int = 5,
) -> None:
    """`begun` is a run that was killed on its way; two begin at once so many times."""
    folder.mkdir()
    places = (folder / f"{number}" for number in itertools.count())
    for first, second in itertools.product(firsts, ("run", "resume", "resume run.rounds=4", "resume run.seed=3")):
        for alive in (True, False):
            root = next(places)
            root.mkdir()
            if first == "resume":
                copied(begun, root / NAME)
            _one_after_the_other(scene, root, first, second.split(), alive, report)
    for words in (("run", "run"), ("resume", "resume")):
        for _ in range(at_once):
            root = next(places)
            root.mkdir()
            if words[0] == "resume":
                copied(begun, root / NAME)
            _at_once(scene, root, words, report)


def _one_after_the_other(
    scene: Scene, root: Path, first: str, second: Sequence[str], alive: bool, report: Report
) -> None:
    """The second comes while the first is at work, or after it was killed."""
    run = root / NAME
    working = Command(*words_of(scene, root, [first]), within=slowly)
    deadline = time.monotonic() + 120
    begun = run / "rounds" / ("000/heldout-rollouts" if first == "run" else "003/eval-rollouts")
    while not any(begun.glob("shard-*")):
        assert not working.is_over() and time.monotonic() < deadline, working.wait().output
        time.sleep(0.005)
    case = f"{first}, then {' '.join(second)}, the first {'alive' if alive else 'killed'}"
    row = f"two drivers, the first {'at work' if alive else 'killed'}"
    if not alive:
        working.kill()
    outcome = command(*words_of(scene, root, second))
    if alive or second[0] == "run" or "run.seed=3" in second:
        told = outcome.code == 2 and outcome.told
        report.add(f"{row}: the second", "named" if told else f"ended with {outcome.code}", case, outcome)
    elif outcome.code != 0:
        report.add(f"{row}: the second", f"ended with {outcome.code}", case, outcome)
    if alive:
        ended = working.wait()
        if ended.code != 0:
            report.add(f"{row}: the first", f"ended with {ended.code}", case, ended)
            return
    wrong = None if "run.rounds=4" in second and not alive else scene.finish(root)
    report.add(f"{row}: what comes of the run", wrong or "held", case)


def _at_once(scene: Scene, root: Path, words: tuple[str, str], report: Report) -> None:
    """Both begin at the same moment."""
    both = [Command(*words_of(scene, root, [word])) for word in words]
    outcomes = sorted((one.wait() for one in both), key=lambda outcome: outcome.code)
    case, row = f"{words[0]} and {words[1]} at once", "two drivers at once"
    good = outcomes[0].code == 0 and (outcomes[1].told or _came_late(outcomes[1].output))
    report.add(f"{row}: both", "named" if good else f"ended with {[o.code for o in outcomes]}", case, outcomes[1])
    report.add(f"{row}: what comes of the run", difference(result(root / NAME), scene.calm) or "held", case)


def _came_late(output: str) -> bool:
    return "is finished" in output


def words_of(scene: Scene, root: Path, words: Sequence[str]) -> list[str]:
    if words[0] == "run":
        return ["run", *scene.words, f"run.root={root}"]
    return ["resume", str(root / NAME), *words[1:]]


@contextmanager
def slowly() -> Iterator[None]:
    with patch.dict(os.environ, {PAUSE: "0.1"}):
        yield
