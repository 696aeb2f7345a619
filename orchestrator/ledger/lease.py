"""One driver at a time: the lease on a run directory, taken before anything in it is read or written.

Owns the file `run.lock` and whether it is still ours. On a local disk the system gives the lease back however the
driver ends; other file systems have none yet.
"""

import contextlib
import fcntl
import json
import os
import secrets
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from ..errors import ConfigError, RunError
from .durable import explained

LOCK = "run.lock"


class Lease:
    """The right to write in a local run directory.

    Args:
        root: the directory, which exists.

    Raises:
        ConfigError: another driver has it.
        RunError: the disk refuses.
    """

    def __init__(self, root: str):
        self.root, self.token = root, secrets.token_hex(8)
        with explained(root):
            self._file = open(os.path.join(root, LOCK), "a+", encoding="utf-8")  # noqa: SIM115 - held until release
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = _owner(self._file)
            self._file.close()
            raise ConfigError(
                f"another driver is at work in {root} ({owner})", "wait for it, or stop it, and resume"
            ) from error
        with explained(root):
            self._file.truncate(0)
            json.dump(
                {
                    "token": self.token,
                    "host": socket.gethostname(),
                    "pid": os.getpid(),
                    "since": datetime.now(UTC).isoformat(timespec="seconds"),
                },
                self._file,
            )
            self._file.flush()

    def moved(self, root: str) -> None:
        """The directory was renamed by its owner."""
        self.root = root

    def check(self) -> None:
        """Refuse to write in a directory that is another one than the lease was taken on.

        Raises:
            RunError: it was removed or renamed, or its lock was.
        """
        held = os.fstat(self._file.fileno())
        try:
            found = os.stat(os.path.join(self.root, LOCK))
        except OSError:
            found = None
        if found is None or (found.st_dev, found.st_ino) != (held.st_dev, held.st_ino):
            raise RunError(
                f"the run directory {self.root} was removed, renamed or replaced while the run was writing to it",
                "put it back (or go on where it is now): roundelay resume DIRECTORY",
            )

    def release(self) -> None:
        """Let other drivers in."""
        self._file.close()


@contextlib.contextmanager
def held(root: str) -> Iterator[Lease]:
    """The lease on a local directory, for as long as the context lasts.

    Raises:
        ConfigError, RunError: as `Lease`.
    """
    lease = Lease(root)
    try:
        yield lease
    finally:
        lease.release()


def _owner(file: Any) -> str:
    """Who holds a lock, in words."""
    file.seek(0)
    try:
        owner = json.loads(file.read())
        return f"process {owner['pid']} on {owner['host']} since {owner['since']}"
    except (ValueError, KeyError, TypeError):  # it is being written, or an older version wrote none
        return "it has not said who it is"
