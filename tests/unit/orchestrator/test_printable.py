"""What is quoted in an error or a note is seen, and never acts on the terminal."""

import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from roundelay.launch.run.progress import TerminalProgress
from roundelay.orchestrator.errors import ConfigError, RunError
from roundelay.orchestrator.printable import printable

RED = "\x1b[31mred\x1b]0;title\x07"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (RED, "\\x1b[31mred\\x1b]0;title\\x07"),
        ("done\rfail\b\x7f", "done\\rfail\\x08\\x7f"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("half \ud83d", "half \\ud83d"),
        ("two\nlines,\ta tab, Grüße 👩\u200d💻", "two\nlines,\ta tab, Grüße 👩\u200d💻"),
    ],
)
def test_what_a_terminal_would_act_on_is_escaped_and_all_else_is_as_it_was(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters()))
def test_no_control_character_is_left_and_twice_is_as_once(text: str) -> None:
    shown = printable(text)
    assert not [char for char in shown if unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t"]
    assert printable(shown) == shown
    shown.encode()  # raises on half a surrogate pair


@pytest.mark.parametrize("kind", [ConfigError, RunError])
def test_an_error_shows_escapes_in_what_it_quotes(kind: type[ConfigError | RunError]) -> None:
    error = kind(f"the server answered {RED}", f"set {RED}")
    assert str(error) == f"the server answered {printable(RED)}\n  remedy: set {printable(RED)}"
    assert (error.what, error.remedy) == (f"the server answered {printable(RED)}", f"set {printable(RED)}")


def test_a_note_shows_escapes_in_what_it_quotes() -> None:
    written = io.StringIO()
    TerminalProgress(Console(file=written, width=120), rounds=1).note(f"a response begins with {RED}")
    assert written.getvalue() == f"a response begins with {printable(RED)}\n"
