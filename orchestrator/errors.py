"""The errors users see. A `UserError` is printed without a traceback: what is wrong, where, and the remedy."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from .printable import printable

MAX_LINES, MAX_CHARS = 12, 2000  # of one error's message, as it is shown
COLOUR_CODES = re.compile(r"(?:\x1b|\\x1b)\[[0-9;?]*[ -/]*[@-~]")  # also as `repr` shows them


class UserError(ValueError):
    """Something the user can mend. Raised before any actor starts wherever that is possible.

    What it says may quote anything (a column's name, a server's answer): it is made printable.

    Args:
        what: what is wrong, naming field and value.
        remedy: the next thing to do.
    """

    def __init__(self, what: str, remedy: str):
        self.what = printable(what)
        self.remedy = printable(remedy)
        super().__init__(f"{self.what}\n  remedy: {self.remedy}")

    def __reduce__(self) -> tuple[type["UserError"], tuple[str, str]]:
        """An exception is rebuilt from its arguments where it arrives from an actor: here they are two."""
        return type(self), (self.what, self.remedy)

    def within(self, place: str) -> Self:
        """The same error, with a line more on where it came up."""
        return type(self)(f"{self.what}\n  {place}", self.remedy)


class ConfigError(UserError):
    """The configuration or an input file is wrong: exit code 2."""


class NonFiniteError(RuntimeError):
    """A loss or gradient is NaN or infinite. The message names the pairs."""


class RunError(UserError):
    """The run stopped and can be resumed: exit code 1."""


class DamagedFile(RunError):
    """A file of a run directory, or of a model that the run uses, is not what the run recorded."""

    @classmethod
    def at(cls, path: str, how: str) -> "DamagedFile":
        """The file at `path`; `how` says what is wrong with it."""
        return cls(
            f"{path} is damaged: {how}",
            "`roundelay check RUN` tells what depends on it, `roundelay check RUN --heal` sets aside what can be "
            "computed again; or restore the file from a copy",
        )


class RemoteError(RuntimeError):
    """What a method of an actor raised, as text: the error's own class may not be known to the driver.

    Args:
        cause: see `cause_of`.
        place: node and process.
    """

    def __init__(self, cause: str, place: str):
        super().__init__(cause, place)
        self.cause, self.place = cause, place


@contextmanager
def located(place: str) -> Iterator[None]:
    """Every `UserError` that comes out of the block says that it came up in `place`."""
    try:
        yield
    except UserError as error:
        raise error.within(place) from error


def cause_of(error: BaseException) -> str:
    """What went wrong first, on a line of its own, and after it what that led to. Without colour codes.

    Example:
        >>> error = RuntimeError("the engine did not start")
        >>> error.__cause__ = KeyError("lm_head")
        >>> print(cause_of(error))
        KeyError: 'lm_head'
          which led to RuntimeError: the engine did not start
    """
    chain = [error]
    while (cause := chain[-1].__cause__) is not None and cause not in chain:
        chain.append(cause)
    return "\n  which led to ".join(f"{type(each).__name__}: {_shown(str(each))}" for each in reversed(chain))


def _shown(text: str) -> str:
    """The beginning of a message, its further lines indented."""
    lines = [line for line in COLOUR_CODES.sub("", text).strip().splitlines() if line.strip()]
    shown = "\n    ".join(lines[:MAX_LINES])
    cut = len(lines) > MAX_LINES or len(shown) > MAX_CHARS
    return shown[:MAX_CHARS] + (" …" if cut else "")
