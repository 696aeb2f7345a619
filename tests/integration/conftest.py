"""How pytest's process ends where engines were tested."""

import atexit
import os
import sys

import pytest


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
