"""Locks that a killed compilation left are deleted; those of one that may still run are not."""

import os
import time
from pathlib import Path

import pytest

from roundelay.workers.build_locks import STALE_AFTER_S, remove_stale_build_locks


def lock(folder: Path, age_s: float) -> Path:
    folder.mkdir(parents=True)
    path = folder / "lock"
    path.touch()
    then = time.time() - age_s
    os.utime(path, (then, then))
    return path


@pytest.mark.parametrize("variable", ["TORCH_EXTENSIONS_DIR", "XDG_CACHE_HOME"])
def test_only_locks_older_than_a_compilation_are_deleted(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Both where torch is told to build, and in its own place in the user's cache."""
    monkeypatch.delenv("TORCH_EXTENSIONS_DIR", raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    builds = tmp_path if variable == "TORCH_EXTENSIONS_DIR" else tmp_path / "torch_extensions" / "py311_cpu"
    old, fresh = lock(builds / "old", STALE_AFTER_S + 60), lock(builds / "fresh", STALE_AFTER_S - 60)
    other = builds / "old" / "ops.so"
    other.touch()
    remove_stale_build_locks()
    assert (old.exists(), fresh.exists(), other.exists()) == (False, True, True)
    assert str(old) in caplog.text and str(fresh) not in caplog.text
