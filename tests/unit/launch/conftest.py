"""The command line, and an engine that is a script."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.evaluation_commands import Call, ScriptedEngine

from roundelay.launch import cli
from roundelay.launch.compare import judging


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> ScriptedEngine:
    """A judge that likes the word "good"."""
    scripted = ScriptedEngine(lambda text: 2.0 * text.count("good") - 1.0)
    monkeypatch.setattr(judging, "engine", scripted)
    return scripted


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Call]:
    """The command: exit code, stdout, stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["roundelay", *words])
        code: object = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
        printed = capsys.readouterr()
        return (int(str(code or 0)), printed.out, printed.err)

    monkeypatch.setattr(cli.out, "width", 200)
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, before)
