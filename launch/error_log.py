"""Errors that no user can mend by a word: a line to read, and the whole of it in a file."""

import sys
import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path

from ..orchestrator.errors import ConfigError, RunError, UserError, cause_of
from ..orchestrator.ledger.durable import REMEDIES
from ..orchestrator.ledger.ledger import Ledger

ERROR_LOG = "error.log"


def explained(error: Exception, ledger: Ledger | None) -> UserError:
    """The error as it is printed: what went wrong, and where the rest stands, which is written there.

    Wrong input stays as it is, and what stopped a run by itself; where another error stopped it (an actor's, say), the
    message points to that.
    """
    if isinstance(error, UserError):
        if isinstance(error, ConfigError) or not _led_to_by_others(error):
            return error
        return type(error)(error.what, f"{error.remedy}\n  {_details(error, ledger)}")
    number = error.errno if isinstance(error, OSError) else None
    remedy = REMEDIES.get(number or 0, "if the message does not say what to mend, report it with the details")
    return RunError(cause_of(error), f"{remedy}\n  {_details(error, ledger)}")


def _led_to_by_others(error: BaseException) -> bool:
    cause = error.__cause__
    return cause is not None and (not isinstance(cause, UserError) or _led_to_by_others(cause))


def _details(error: Exception, ledger: Ledger | None) -> str:
    where = _save(error, ledger)
    return f"details: {where}" if where else "details could not be saved"


def _save(error: Exception, ledger: Ledger | None) -> str | None:
    """Append the whole traceback, remote ones included, to the run's error.log, or to a file of the working directory,
    or of the system's temporary one; where it was written."""
    stamp = datetime.now(UTC).isoformat(timespec="seconds")
    text = f"{stamp}  {' '.join(sys.argv)}\n{''.join(traceback.format_exception(error))}\n"
    data = text.encode(errors="backslashreplace")
    try:
        if ledger is not None and ledger.exists("run.yaml"):
            before = ledger.read_bytes(ERROR_LOG) if ledger.exists(ERROR_LOG) else b""
            ledger.write_bytes(before + data, ERROR_LOG)
            return ledger.path(ERROR_LOG) if ledger.local else f"{ledger.url}/{ERROR_LOG}"
    except Exception:  # the run's directory may be what the error is about
        pass
    for folder in (Path.cwd, lambda: Path(tempfile.gettempdir())):
        try:
            file = folder() / "roundelay-error.log"
            with file.open("ab") as log:
                log.write(data)
        except OSError:
            continue
        return str(file)
    return None
