"""Mutation testing of the objectives' formulas: every sign flipped, every term dropped, one at a time.

A mutant that no test fails on is a survivor: a term that could be wrong without anyone noticing. Each mutant first
meets the tests of its own module, and all of the folder's if those let it through. TRL's parity is left out: the
oracles derived by hand have to do on their own.

One pytest session collects the tests. Each mutant then gets a forked child that swaps the code of one function in
place, so that every importer sees it, and runs the collected tests until one fails: no second import of torch.
"""

import argparse
import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn, TypeAlias

import pytest
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from support.mutants import Mutant, apply, mutants_of

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "recipes" / "losses"
TESTS = ROOT / "tests" / "unit" / "recipes" / "losses"
PARITY = "test_trl_parity.py"
WITHOUT_FORMULAS = ("__init__", "micro_batches", "policy_batches")
PACKAGE = "roundelay.recipes.losses"
SECONDS_PER_MUTANT = 60.0
SURVIVED, CAUGHT, BROKEN = 0, 1, 3  # how a child ends
Outcome: TypeAlias = Literal["survived", "caught", "killed"]  # killed: it crashed, or did not end in time

# Mutants that compute the same for every input, by (file, function, "before → after"), and why. One that a test
# catches after all, or that is no longer made, is an error: the list cannot rot.
EQUIVALENT: dict[tuple[str, str, str], str] = {
    ("advantages.py", "_centred", "len(scored) > 1 → len(scored) >= 1"): (
        "the condition goes on with min < max, which a single score never meets"
    ),
}


def outcomes(
    mutants: Sequence[Mutant], is_caught: Callable[[Mutant], bool], *, jobs: int, seconds: float = SECONDS_PER_MUTANT
) -> Iterator[tuple[Mutant, Outcome]]:
    """Judge each mutant in a forked child, `jobs` at a time."""
    waiting = list(reversed(mutants))
    running: dict[int, tuple[Mutant, float]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                mutant = waiting.pop()
                running[forked(mutant, is_caught)] = mutant, time.monotonic() + seconds
            for pid, (mutant, deadline) in list(running.items()):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if not ended and time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
                    ended, status = os.waitpid(pid, 0)
                if ended:
                    del running[pid]
                    yield mutant, outcome_of(mutant, os.waitstatus_to_exitcode(status))
            time.sleep(0.001)
    finally:
        for pid in running:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def outcome_of(mutant: Mutant, code: int) -> Outcome:
    if code == BROKEN:
        raise RuntimeError(f"{mutant} could not be run: the error is printed above")
    if code == SURVIVED:
        return "survived"
    return "caught" if code == CAUGHT else "killed"


def forked(mutant: Mutant, is_caught: Callable[[Mutant], bool]) -> int:
    pid = os.fork()
    if pid == 0:
        child(mutant, is_caught)
    return pid


def child(mutant: Mutant, is_caught: Callable[[Mutant], bool]) -> NoReturn:
    """Ends with one of the statuses. `_exit`: nothing of the parent's is cleaned up twice."""
    status = BROKEN
    try:
        status = CAUGHT if is_caught(mutant) else SURVIVED
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(status)


@dataclass(kw_only=True, eq=False)
class Session:
    """The pytest plugin: where pytest would run the collected tests, the mutants are run against them instead."""

    mutants: list[Mutant]
    jobs: int
    console: Console
    judged: dict[Outcome, list[Mutant]] = field(default_factory=lambda: {"survived": [], "caught": [], "killed": []})
    problems: list[str] = field(default_factory=list)
    failed: bool = False  # in a child: whether a test has failed

    def pytest_internalerror(self, excrepr: object) -> None:
        self.problems.append(str(excrepr))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.problems.append(f"{report.nodeid} cannot be collected:\n{report.longreprtext}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed = self.failed or report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if not self.problems:
            self.check_the_original(session.items)
        if not self.problems:
            self.run_mutants(session.items)
        return True

    def check_the_original(self, items: list[pytest.Item]) -> None:
        """In a child as well: autograd must not have run in a process that forks."""
        if not items:
            self.problems.append(f"no tests in {TESTS}")
            return
        unchanged = self.mutants[0]
        for _, outcome in outcomes([unchanged], lambda _: self.fails(items), jobs=1, seconds=600):
            if outcome != "survived":
                self.problems.append(f"the tests fail without any mutant: run pytest {TESTS}")

    def run_mutants(self, items: list[pytest.Item]) -> None:
        modules = {
            file: importlib.import_module(f"{PACKAGE}.{Path(file).stem}") for file in {m.file for m in self.mutants}
        }

        def is_caught(mutant: Mutant) -> bool:
            apply(mutant, modules[mutant.file])
            return self.fails(sorted(items, key=lambda item: (item.path.name != f"test_{mutant.file}", is_slow(item))))

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task("mutants", total=len(self.mutants))
            for mutant, outcome in outcomes(self.mutants, is_caught, jobs=self.jobs):
                self.judged[outcome].append(mutant)
                survived = len(self.judged["survived"])
                progress.update(task, advance=1, description=f"{mutant.file}, {survived} survived")

    def fails(self, items: list[pytest.Item]) -> bool:
        """Run the tests until one fails."""
        self.failed = False
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.failed:
                return True
        return False


def is_slow(item: pytest.Item) -> bool:
    """Hypothesis tries a hundred examples where an oracle has one."""
    return getattr(getattr(item, "obj", None), "is_hypothesis_test", False)


def test_files() -> list[str]:
    return sorted(str(path) for path in TESTS.glob("test_*.py") if path.name != PARITY)


def run(mutants: list[Mutant], *, jobs: int, console: Console) -> Session:
    """Collect the tests once, in this process, and run all mutants against them."""
    from hypothesis import Phase, settings

    os.environ["OMP_NUM_THREADS"] = "1"  # torch reads it when a test imports it: a forked child has one thread
    # No example is kept from one mutant to the next, and a failure is not shrunk: that it fails is enough.
    settings.register_profile(
        "mutation", database=None, deadline=None, derandomize=True, phases=(Phase.explicit, Phase.generate)
    )
    session = Session(mutants=mutants, jobs=jobs, console=console)
    # That a test fails is all that counts: no explanation of why is worth its time.
    options = [
        "-q", "-s", "--tb=no", "--assert=plain", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"),
        "--hypothesis-profile=mutation",  # after that of conftest.py
    ]  # fmt: skip
    with open(os.devnull, "w") as silence, redirect_stdout(silence):
        status = pytest.main([*options, *test_files()], plugins=[session])
    judged = sum(map(len, session.judged.values()))
    if judged != len(mutants):
        session.problems.append(f"{judged} of {len(mutants)} mutants were run (pytest: {status!r})")
    return session


def report(session: Session, console: Console, seconds: float) -> bool:
    """Print the survivors and the counts. True if all is well."""
    survivors = [mutant for mutant in session.judged["survived"] if mutant.key not in EQUIVALENT]
    for mutant in survivors:
        console.print(
            f"survived: {SOURCES / mutant.file}:{mutant.line} in {mutant.function}\n"
            f"    {mutant.before}\n    became {mutant.after}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    stale = stale_equivalents(session)
    for key in stale:
        console.print(f"not equivalent, or no longer made: {key}", markup=False, soft_wrap=True)
    table = Table("module", "mutants", "caught", "killed", "equivalent", "survived")
    files = [*dict.fromkeys(mutant.file for mutant in session.mutants)]
    for file in [*files, None]:
        made, caught, killed, let_through, survived = (
            sum(mutant.file == file or file is None for mutant in group)
            for group in (session.mutants, *(session.judged[name] for name in COLUMNS), survivors)
        )
        counts = (made, caught, killed, let_through - survived, survived)
        table.add_row(Path(file or "all").stem, *map(str, counts), end_section=file == files[-1])
    console.print(table)
    console.print(f"{seconds:.0f} s")
    return not survivors and not stale


COLUMNS: tuple[Outcome, ...] = ("caught", "killed", "survived")


def stale_equivalents(session: Session) -> list[tuple[str, str, str]]:
    files = {mutant.file for mutant in session.mutants}
    survived = {mutant.key for mutant in session.judged["survived"]}
    return [key for key in EQUIVALENT if key[0] in files and key not in survived]


def arguments(modules: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="example: python tests/mutate_objectives.py pairwise listwise",
    )
    parser.add_argument("modules", nargs="*", metavar="module", help=f"one of {', '.join(modules)}; default: all")
    parser.add_argument("--jobs", type=int, default=2, help="children at a time (default: 2)")
    chosen = parser.parse_args()
    unknown = sorted(set(chosen.modules) - set(modules))
    if unknown:
        parser.error(f"no such module: {', '.join(unknown)}; there are {', '.join(modules)}")
    if chosen.jobs < 1:
        parser.error("--jobs: at least 1")
    return chosen


def main() -> int:
    modules = sorted(path.stem for path in SOURCES.glob("*.py") if path.stem not in WITHOUT_FORMULAS)
    chosen = arguments(modules)
    console = Console()
    started = time.monotonic()
    mutants = [mutant for name in chosen.modules or modules for mutant in mutants_of(SOURCES / f"{name}.py")]
    if not mutants:
        console.print("nothing to mutate")
        return 0
    session = run(mutants, jobs=chosen.jobs, console=console)
    for problem in session.problems:
        console.print(problem, markup=False)
    return 0 if not session.problems and report(session, console, time.monotonic() - started) else 1


if __name__ == "__main__":
    sys.exit(main())
