"""Every change that a process makes to files below a directory: counted, killed at, refused, or lost with the power.

Python's audit events tell of opening, renaming, making and removing, before it happens; `os.fsync` is wrapped. What
Arrow writes of itself (the frozen prompts) shows when it is synced.
"""

import errno
import os
import signal
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink")


@contextmanager
def watched(root: Path, happens: Callable[[int, str, str], None]) -> Iterator[None]:
    """Tell `happens` of every operation below `root` before it takes place: its number, kind and path. For good: an
    audit hook cannot be taken away, so this is for a process that ends."""
    count, busy, inside, fsync = 0, False, str(root), os.fsync

    def tell(kind: str, path: str) -> None:
        nonlocal count, busy
        if busy or not path.startswith(inside):
            return
        busy = True  # what `happens` does itself is not told
        try:
            count += 1
            happens(count, kind, path)
        finally:
            busy = False

    def heard(event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(args[0], str) and args[2] & WRITES:
            tell("open", os.path.abspath(args[0]))
        elif event in CHANGES:
            tell(event.removeprefix("os."), _path(args[0], args[-1] if event in ("os.remove", "os.rmdir") else -1))

    def told_fsync(file: Any) -> None:
        descriptor = file if isinstance(file, int) else file.fileno()
        tell("fsync", os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(file)

    os.fsync = told_fsync
    sys.addaudithook(heard)
    yield


def _path(name: Any, directory: int) -> str:
    path = os.fspath(name)
    path = path.decode() if isinstance(path, bytes) else path
    return os.path.join(os.readlink(f"/proc/self/fd/{directory}"), path) if directory >= 0 else os.path.abspath(path)


def counted(root: Path, log: Path) -> Callable[[], Any]:
    """Write down every operation, one a line."""

    def happens(number: int, kind: str, path: str) -> None:
        with log.open("a") as file:
            file.write(f"{kind} {os.path.relpath(path, root)}\n")

    return lambda: watched(root, happens)


def killed(root: Path, at: Callable[[int, str, str], bool]) -> Callable[[], Any]:
    """SIGKILL before the operation that `at` chooses."""

    def happens(number: int, kind: str, path: str) -> None:
        if at(number, kind, path):
            os.kill(os.getpid(), signal.SIGKILL)

    return lambda: watched(root, happens)


# What a full disk still does; a read-only one does nothing.
REFUSED = {
    errno.ENOSPC: ("open", "mkdir", "fsync"),
    errno.EDQUOT: ("open", "mkdir", "fsync"),
    errno.EMFILE: ("open",),
    errno.EROFS: ("open", "mkdir", "fsync", "rename", "remove", "rmdir"),
}


def refused(root: Path, code: int, since: int) -> Callable[[], Any]:
    """The system refuses, from operation `since` on."""

    def happens(number: int, kind: str, path: str) -> None:
        if number >= since and kind in REFUSED[code]:
            raise OSError(code, os.strerror(code), path)

    return lambda: watched(root, happens)


class Disk:
    """What of the files below a directory is on the disk, by what was synced: the rest a power failure may take.

    A file's bytes are there as they were when it was last synced, and empty if it never was. Names are there as they
    were when their directory was last synced (`strict`), or all of them (`eager`): file systems may write names early.
    """

    def __init__(self, root: Path):
        self.root = root
        self.bytes: dict[int, bytes] = {}  # by inode
        self.names: dict[int, dict[str, tuple[int, bool]]] = {}  # of directories: inode and whether it is one
        self._held: list[int] = []  # open, so that no inode is given away again
        self.synced(str(root))

    def synced(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        self._held.append(descriptor)
        inode = os.fstat(descriptor).st_ino
        if os.path.isdir(path):
            self.names[inode] = self._now(path)
        else:
            self.bytes[inode] = Path(path).read_bytes()

    def write(self, target: Path, *, strict: bool) -> None:
        """Leave in `target` what a power failure would."""
        self._write(self.root.stat().st_ino, str(self.root), target, strict)

    def _write(self, inode: int, path: str, target: Path, strict: bool) -> None:
        target.mkdir()
        names = self.names.get(inode, {}) if strict else self._now(path)
        for name, (child, is_directory) in names.items():
            if is_directory:
                self._write(child, os.path.join(path, name), target / name, strict)
            else:
                (target / name).write_bytes(self.bytes.get(child, b""))

    def _now(self, path: str) -> dict[str, tuple[int, bool]]:
        with os.scandir(path) as entries:
            return {entry.name: (entry.inode(), entry.is_dir()) for entry in entries}


def power_lost(root: Path, points: Collection[int], target: Path) -> Callable[[], Any]:
    """At every one of `points`, leave in `target` what a power failure would: `NUMBER-strict` and `NUMBER-eager`."""

    def within() -> Any:
        disk = Disk(root)
        synced: list[str] = []  # at the next operation it is done

        def happens(number: int, kind: str, path: str) -> None:
            while synced:
                disk.synced(synced.pop())
            if kind == "fsync":
                synced.append(path)
            if number in points:
                for way in ("strict", "eager"):
                    disk.write(target / f"{number}-{way}", strict=way == "strict")

        return watched(root, happens)

    return within
