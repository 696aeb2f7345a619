"""The installed command's first lines: until all is imported, Ctrl-C and SIGTERM end it at once."""

import os
import signal
from types import FrameType

INTERRUPTED = 130


def main() -> None:
    """The `roundelay` command."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    for each, handler in before.items():
        if handler is not signal.SIG_IGN:  # a script may have started the command deaf to Ctrl-C
            signal.signal(each, _end)
    from .cli import main as command

    for each, handler in before.items():
        signal.signal(each, handler)
    command()


def _end(signum: int, frame: FrameType | None) -> None:
    """Nothing is begun that would have to be cleaned up; an exception might be caught by what is being imported."""
    os._exit(INTERRUPTED)
