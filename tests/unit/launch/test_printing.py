"""What others wrote is shown, never obeyed: neither brackets as markup, nor control characters by the terminal."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console
from support.configs import changed, phase, with_phases
from typer.testing import CliRunner

from roundelay.launch import cli
from roundelay.launch.config.plan import print_plan
from roundelay.launch.reports import figures, plain
from roundelay.launch.run.progress import TerminalProgress
from roundelay.launch.show.table import one_line
from roundelay.orchestrator.ledger.layout import ROLLOUTS

HOSTILE = "[bold]x[/bold] \x1b[31mred\x1b]0;title\x07 \x9b2J\u202e"
SHOWN = "[bold]x[/bold] \\x1b[31mred\\x1b]0;title\\x07 \\x9b2J\\u202e"


def printed(*parts: object, terminal: bool = False) -> str:
    written = io.StringIO()
    Console(file=written, width=200, force_terminal=terminal, color_system=None).print(*parts)
    return written.getvalue()


def test_a_response_is_one_line_in_which_escapes_are_seen() -> None:
    assert one_line(f"{HOSTILE}\n\n next") == f"{SHOWN} next"
    assert SHOWN in printed(plain(one_line(HOSTILE)))


@pytest.mark.parametrize("terminal", [False, True])
def test_names_and_values_of_reports_are_shown(terminal: bool) -> None:
    assert printed(figures([(HOSTILE, HOSTILE)]), terminal=terminal).count(SHOWN) == 2


@pytest.mark.parametrize("terminal", [False, True])
def test_a_samplers_path_is_shown_while_it_samples(terminal: bool) -> None:
    written = io.StringIO()
    console = Console(file=written, width=200, force_terminal=terminal, color_system=None)
    with TerminalProgress(console, rounds=3) as progress:
        progress.stage(1, replace(ROLLOUTS, label=f"sample by {HOSTILE}"), 4, 4, 100)
        progress.note(HOSTILE)
    assert written.getvalue().count(SHOWN) >= 2
    assert "\x1b[31m" not in written.getvalue() and "\x9b" not in written.getvalue()


def test_a_phases_name_is_shown_in_the_plan() -> None:
    written = io.StringIO()
    print_plan(Console(file=written, width=200), changed(with_phases(**{"[red]one": phase(rounds=1)}), run__rounds=1))
    assert "phase [red]one" in written.getvalue()


def test_the_help_shows_every_bracket_of_what_is_written() -> None:
    """`pip install 'roundelay[eval]'` is what installs the extra; rich would read [eval] as markup."""
    commands = {command.name or command.callback.__name__: command.callback for command in cli.app.registered_commands}  # pyright: ignore[reportOptionalMemberAccess]
    seen = 0
    for name, command in commands.items():
        said = CliRunner().invoke(cli.app, [name, "--help"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"}).output
        written = command.__wrapped__.__doc__ or ""  # pyright: ignore[reportFunctionMemberAccess, reportOptionalMemberAccess]
        for bracket in re.findall(r"\S*\[\S*\]\S*", written):
            assert bracket in said
            seen += 1
    assert seen
