"""How two lanes share the tests with engines, and how pytest's process ends after them.

A lane is a worker of pytest-xdist. It is pinned, with all that it starts, to cores of its own, and has its own Ray and
engines: two tests at once take no longer than each alone. What shares engines (a package, a module) is one piece of
work, and the longest pieces come first, so that the lanes end together.
"""

import atexit
import os
import sys
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# The long ones, by how long one core takes: 20 minutes to 2. The others follow in any order.
LONGEST_FIRST = ("recipes", "test_resume", "test_rlcd", "test_cluster", "test_sweep", "test_smollm2", "learner")


def pytest_configure(config: pytest.Config) -> None:
    """Pin a lane to its cores, before torch counts them and before anything is started."""
    worker = getattr(config, "workerinput", None)
    if worker is not None and hasattr(os, "sched_setaffinity"):
        cores, lanes = sorted(os.sched_getaffinity(0)), worker["workercount"]
        lane = int(worker["workerid"].removeprefix("gw")) % lanes  # a lane that crashed goes on by another number
        os.sched_setaffinity(0, cores[lane::lanes] or cores)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest pieces first."""

    def order(item: pytest.Item) -> int:
        piece = piece_of(item.nodeid)
        return LONGEST_FIRST.index(piece) if piece in LONGEST_FIRST else len(LONGEST_FIRST)

    items.sort(key=order)


class Pieces(LoadScopeScheduling):
    """Gives a lane one piece after another, in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        return piece_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Pieces:
    config.option.loadscopereorder = False  # by the number of their tests
    return Pieces(config, log)


def piece_of(nodeid: str) -> str:
    """The package or module that a test is in.

    Example:
        >>> piece_of("tests/integration/recipes/test_pairs.py::test_pairs[ab]")
        'recipes'
    """
    file = nodeid.partition("::")[0]
    return file.rpartition("tests/integration/")[2].partition("/")[0].removesuffix(".py")


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End without the interpreter's own end, once what is registered for it has run and all is told.

    Ray's, Arrow's and torch's threads go on until then in this process, while what they use is taken down: a suite
    without a failure has crashed there. Whether a command of ours ends well is tested, in processes of its own.
    """
    session = config.pluginmanager.get_plugin("session")
    if isinstance(session, pytest.Session) and not hasattr(config, "workerinput"):
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(session.exitstatus))
