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


class ConfigError(UserError):
    """The configuration or an input file is wrong: exit code 2."""


class NonFiniteError(RuntimeError):
    """A loss or gradient is NaN or infinite. The message names the pairs."""


class RunError(UserError):
    """The run stopped and can be resumed: exit code 1."""
