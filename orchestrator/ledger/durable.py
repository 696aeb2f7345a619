"""Writing to a local disk so that a file is whole once its name appears, also after a power failure.

Bytes are synced before the rename, and the rename before anything relies on it. What the disk refuses is said with path
and remedy.
"""

import contextlib
import errno
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

from ..errors import RunError

PARTIAL = ".partial-"  # in the name of what is being written; a crash leaves such files, the next start deletes them

# What the system refused, and what helps.
REMEDIES = {
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "free some space in your quota",
    errno.EROFS: "make the file system writable",
    errno.EACCES: "give this user the right to write there",
    errno.EPERM: "give this user the right to write there",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the machine's limit of open files",
    errno.ENAMETOOLONG: "choose a shorter run.root or run.name",
    errno.EIO: "look at the disk: it fails to read or write",
    errno.ENOENT: "put the directory back where it was",
}


def write_file(path: str, data: bytes) -> None:
    """Write a file in an existing directory so that it appears whole or not at all, and stays.

    Raises:
        RunError: the disk refuses.
    """
    with explained(path):
        partial = f"{path}{PARTIAL}{uuid.uuid4().hex[:8]}"
        try:
            with open(partial, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(partial)
            raise
        sync_directory(os.path.dirname(path))


def make_directories(path: str) -> None:
    """Make a directory and those above it that are missing, durably.

    Raises:
        RunError: the disk refuses.
    """
    if os.path.isdir(path):
        return
    parent = os.path.dirname(os.path.abspath(path))
    make_directories(parent)
    with explained(path):
        with contextlib.suppress(FileExistsError):
            os.mkdir(path)
        sync_directory(parent)


def sync_tree(directory: str) -> None:
    """Sync every file and directory from `directory` down to the disk, and its name in its parent.

    Raises:
        RunError: the disk refuses.
    """
    with explained(directory):
        for folder, _, names in os.walk(directory):
            for name in names:
                sync_file(os.path.join(folder, name))
            sync_directory(folder)
        sync_directory(str(Path(directory).absolute().parent))


def sync_file(path: str) -> None:
    """Sync a file's bytes to the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def sync_directory(path: str) -> None:
    """Sync a directory's names to the disk."""
    descriptor = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def explained(path: str) -> Iterator[None]:
    """Say what the system refused, where, and what to do.

    Raises:
        RunError: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        where = error.filename2 or error.filename or path
        raise _refusal(where, error.errno or 0, str(error)) from error
    except Exception as error:  # safetensors, written in Rust, has an error of its own for what the system refuses
        if (said := re.search(r"\(os error (\d+)\)", str(error))) is None:
            raise
        raise _refusal(path, int(said[1]), str(error)) from error


def _refusal(where: str, number: int, said: str) -> RunError:
    reason = os.strerror(number) if number else said
    return RunError(f"{where}: {reason}", f"{REMEDIES.get(number, 'mend the cause')}, then resume the run")
