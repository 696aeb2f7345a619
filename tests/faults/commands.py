"""The command line in a process of its own, forked: nothing is imported again, and what it does there stays there."""

import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import roundelay.workers.encoding  # noqa: F401 - every command would import transformers again
from roundelay.launch import cli

from .scripted_cluster import in_process

Within = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a command ended (negative: by a signal) and what it printed.

    Example:
        Outcome(code=1, output="stopped: …")
    """

    code: int
    output: str

    @property
    def told(self) -> bool:
        """Whether it failed as it should: by a message."""
        return self.code in (1, 2) and "Traceback" not in self.output and "remedy:" in self.output


class Command:
    """A command under way.

    Args:
        within: what the process does around it.
        cluster: where its actors are.
    """

    def __init__(self, *words: str, within: Within = nullcontext, cluster: Within = in_process):
        self._output = tempfile.NamedTemporaryFile(prefix="roundelay-faults-")  # noqa: SIM115 - until `wait`
        self.pid = os.fork()
        if self.pid == 0:
            _become(words, within, cluster, self._output.fileno())

    def wait(self) -> Outcome:
        _, status = os.waitpid(self.pid, 0)
        output = Path(self._output.name).read_text(errors="replace")
        self._output.close()
        return Outcome(code=os.waitstatus_to_exitcode(status), output=output)

    def is_over(self) -> bool:
        """Whether it has ended. It is not reaped."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def kill(self) -> Outcome:
        os.kill(self.pid, signal.SIGKILL)
        return self.wait()


def command(*words: str, within: Within = nullcontext) -> Outcome:
    """The outcome of a whole command."""
    return Command(*words, within=within).wait()


def _become(words: Sequence[str], within: Within, cluster: Within, output: int) -> None:
    """Be the command, then end: nothing of the campaign's own runs in this process."""
    code = 70
    try:
        os.environ["COLUMNS"] = "400"
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        with cluster(), within():
            try:
                sys.argv = ["roundelay", *words]
                cli.main()
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
