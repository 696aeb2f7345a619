"""The command's beginning and its unexpected end: interrupts while it is imported, errors that nobody foresaw."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.evaluation_commands import Call

from roundelay.launch import cli
from roundelay.orchestrator.errors import RunError
from roundelay.orchestrator.ledger.ledger import Ledger

# The entry, in a process where importing pydantic, which nearly all of the command needs, never ends.
IMPORTING = """
import sys, time
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "pydantic":
            print("importing", flush=True)
            try:
                time.sleep(60)
            except BaseException as error:  # as an import may that is written for missing packages alone
                raise ImportError("pydantic") from error
sys.meta_path.insert(0, Slow())
from roundelay.launch.entry import main
main()
"""


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_the_command_is_imported_ends_it_without_a_traceback(stop: signal.Signals) -> None:
    """In the first seconds nothing has begun: exit code 130, and not a word."""
    process = subprocess.Popen(
        [sys.executable, "-c", IMPORTING],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # this test may run in a script's background
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"importing\n"
    process.send_signal(stop)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, b"")


def test_an_error_that_nobody_foresaw_is_a_line_and_the_rest_is_in_a_file(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1; the whole traceback lies where the command was given."""

    def broken(*_: object) -> None:
        try:
            raise KeyError("manifest")
        except KeyError as error:
            raise TypeError("no such thing") from error

    monkeypatch.setattr(cli, "print_recipes", broken)
    code, _, said = call("recipes")
    assert code == 1
    assert said.startswith("error: KeyError: 'manifest'\n  which led to TypeError: no such thing\n")
    assert f"details: {tmp_path / 'roundelay-error.log'}" in said and "Traceback" not in said
    log = (tmp_path / "roundelay-error.log").read_text()
    assert "Traceback" in log and "KeyError: 'manifest'" in log and "roundelay recipes" in log


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(str(tmp_path / "demo"))
    ledger.create({"config": {}})
    return ledger


def test_an_error_of_a_run_is_kept_in_its_directory(
    call: Call, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second one stands below the first."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(cli, "print_run", broken)
    for times in (1, 2):
        code, _, said = call("show", ledger.url)
        assert (code, f"details: {ledger.path('error.log')}" in said) == (1, True)
        assert ledger.read_bytes("error.log").decode().count("Traceback") == times


def test_what_stopped_a_run_points_to_the_errors_that_led_to_it(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An actor's error: its message for the user, and its traceback in the run's directory. One that stands for itself
    is no more than its message."""
    from roundelay.launch.error_log import explained

    alone = RunError("the judge only ties", "choose another")
    assert explained(alone, ledger) is alone
    led = RunError("ValueError: no lm_head", "mend the cause")
    led.__cause__ = ValueError("no lm_head, in the actor")
    told = explained(led, ledger)
    assert type(told) is RunError and told.what == led.what
    assert told.remedy == f"mend the cause\n  details: {ledger.path('error.log')}"
    assert b"no lm_head, in the actor" in ledger.read_bytes("error.log")


def test_a_full_disk_is_told_with_its_remedy(ledger: Ledger) -> None:
    from roundelay.launch.error_log import explained

    told = explained(OSError(28, "No space left on device", "runs/x"), ledger)
    assert "No space left on device: 'runs/x'" in told.what
    assert told.remedy.startswith("free some space on that disk")
