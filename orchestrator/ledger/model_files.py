"""Model directories: fetched to this machine, verified against what the run recorded, published to where the run is.

Every process verifies a model the first time that it loads it.
"""

import functools
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import fsspec

from ..data.records import PolicyRef
from ..errors import DamagedFile
from .checksums import bytes_hash, differing_files, weights_hash
from .durable import PARTIAL, explained, sync_tree


def verified_copy(model: PolicyRef) -> str:
    """A local directory with the model's files, which are those that the run recorded.

    Raises:
        DamagedFile: a file is gone, added or another one; it is named.
    """
    directory = local_copy(model.path)
    _verify(directory, model.path, model.sha256, tuple(sorted(model.files.items())))
    return directory


def verify_files(directory: str, path: str, files: Mapping[str, str]) -> None:
    """Compare a local directory with the recorded hashes of its files.

    Raises:
        DamagedFile: a file is gone, added or another one; it is named below `path`.
    """
    if not Path(directory).is_dir():
        raise DamagedFile.at(path, "the directory is gone")
    if differing := differing_files(directory, files):
        raise DamagedFile.at(path, "; ".join(differing))


@functools.lru_cache(maxsize=256)
def _verify(directory: str, path: str, sha256: str, files: tuple[tuple[str, str], ...]) -> None:
    if files:
        verify_files(directory, path, dict(files))
    elif weights_hash(directory) != sha256:  # a run of format 1 recorded no more than the weights
        raise DamagedFile.at(path, "its weights are other ones than the run recorded")


def local_copy(path: str) -> str:
    """A local directory with the model at `path`: itself, or where a URL's files were fetched to on this machine.

    Another process may be reading what was fetched before: every file is replaced whole, its open files stay.
    """
    if "://" not in path:
        return path
    target = Path(tempfile.gettempdir(), "roundelay-policies", bytes_hash(path.encode())[:16])
    fs, remote = fsspec.core.url_to_fs(path)
    names = {file[len(remote) :].lstrip("/"): file for file in fs.find(remote)}
    with explained(str(target)):
        for name, file in names.items():
            partial = f"{target / name}{PARTIAL}{uuid.uuid4().hex[:8]}"
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            fs.get_file(file, partial)
            os.replace(partial, target / name)
        for stale in target.rglob("*"):
            if stale.is_file() and str(stale.relative_to(target)) not in names and PARTIAL not in stale.name:
                stale.unlink()
    return str(target)


@contextmanager
def directory_for(path: str) -> Iterator[str]:
    """An empty local directory to write to: `path` itself, synced to the disk at the end, or one that is published to
    the URL `path`."""
    if "://" in path:
        with tempfile.TemporaryDirectory() as directory:
            yield directory
            publish(directory, path)
        return
    with explained(path):
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
        yield path
    sync_tree(path)


def publish(directory: str, path: str) -> None:
    """Copy a local model directory to the URL `path`."""
    fs, remote = fsspec.core.url_to_fs(path)
    fs.makedirs(remote, exist_ok=True)
    for file in sorted(Path(directory).rglob("*")):
        if file.is_file():
            fs.put_file(str(file), f"{remote}/{file.relative_to(directory)}")
