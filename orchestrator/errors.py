"""The errors users see. A `UserError` is printed without a traceback: what is wrong, where, and the remedy."""

from .printable import printable


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
