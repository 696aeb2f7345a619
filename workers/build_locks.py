"""Locks of compilations that were killed: torch waits for such a lock to go, without end and without a word."""

import contextlib
import logging
import os
import time
from pathlib import Path

from torch.utils.cpp_extension import get_default_build_root

# DeepSpeed's extensions compile in less than two minutes, also on two cores.
STALE_AFTER_S = 600.0

log = logging.getLogger(__name__)


def remove_stale_build_locks() -> None:
    """Delete the locks, older than any compilation takes, under the directory where torch builds extensions."""
    own = os.environ.get("TORCH_EXTENSIONS_DIR")
    root, pattern = (Path(own), "*/lock") if own else (Path(get_default_build_root()), "*/*/lock")
    for lock in root.glob(pattern):
        with contextlib.suppress(FileNotFoundError):  # another rank was faster
            age = time.time() - lock.stat().st_mtime
            if age > STALE_AFTER_S:
                lock.unlink()
                log.warning("deleted %s, %.0f minutes old: its process was killed while it compiled", lock, age / 60)
