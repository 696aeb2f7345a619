"""A run directory in the making: under another name until it is whole, held by its maker, gone if it comes to nothing.

So a run that can be seen is one that can be resumed, and nobody removes what another process uses.
"""

import errno
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...orchestrator.errors import ConfigError, UserError
from ...orchestrator.ledger.durable import PARTIAL, explained, sync_directory, sync_tree
from ...orchestrator.ledger.lease import Lease
from ...orchestrator.ledger.ledger import Ledger

FRESH_S = 60.0


@contextmanager
def drafted(url: str) -> Iterator[Ledger]:
    """A new run directory that nobody else sees; `publish` gives it its name. Removed where it was not published.

    Object stores rename nothing: there the files are put where they stay, run.yaml last.

    Raises:
        ConfigError: the directory holds a run already, or other files, or cannot be made.
    """
    final = Ledger(url)
    final.check_free()
    if not final.local:
        try:
            yield final
        except BaseException:
            if not final.exists("run.yaml"):
                final.discard()
            raise
        return
    parent, name = Path(final.root).parent, Path(final.root).name
    draft = parent / f".{name}{PARTIAL}{secrets.token_hex(4)}"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(parent, name)
        draft.mkdir()
    except OSError as error:
        raise ConfigError(
            f"run directory {url} cannot be made ({error.strerror})", "set run.root to a directory you may write"
        ) from error
    lease = Lease(str(draft))
    try:
        yield Ledger(str(draft), lease)
    finally:
        if lease.root == str(draft):
            shutil.rmtree(draft, ignore_errors=True)
        lease.release()


def publish(draft: Ledger, url: str) -> Ledger:
    """Give a whole draft its name; the lease goes with it.

    Raises:
        ConfigError: another run has taken the name meanwhile.
    """
    if draft.lease is None:
        return draft
    final = Ledger(url, draft.lease)
    sync_tree(draft.root)
    with explained(final.root):
        try:
            os.rename(draft.root, final.root)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            raise ConfigError(
                f"run directory {url} was taken by another run meanwhile",
                f"go on with it by `roundelay resume {url}`, or choose another run.name",
            ) from error
        sync_directory(os.path.dirname(final.root))
    draft.lease.moved(final.root)
    return final


def _remove_abandoned(parent: Path, name: str) -> None:
    """Remove drafts of the name whose makers were killed. One that is made just now may have no lease yet."""
    for draft in parent.glob(f".{_literal(name)}{PARTIAL}*"):
        try:
            if time.time() - draft.stat().st_ctime < FRESH_S:
                continue
            lease = Lease(str(draft))
        except (UserError, OSError):  # its maker is at work, it is not ours to write, or it is gone
            continue
        shutil.rmtree(draft, ignore_errors=True)
        lease.release()


def _literal(name: str) -> str:
    """A name for `glob`, which stands for itself."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)
