"""Live progress: stage, shards, tokens a second, time left. One line a stage where there is no terminal."""

import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from ...orchestrator.data.records import PairingOutcome
from ...orchestrator.ledger.layout import COMPARISONS, LEARN, START, Activity, Stage
from ...orchestrator.printable import printable


class TerminalProgress:
    """An `Observer` that draws. Use as a context manager."""

    def __init__(self, console: Console, rounds: int):
        self.console, self.rounds = console, rounds
        self._bars = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
        )
        self._tasks: dict[tuple[int, str], Any] = {}
        self._started: dict[tuple[int, str], float] = {}
        self._tokens: dict[tuple[int, str], int] = {}

    def __enter__(self) -> "TerminalProgress":
        if self.console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self._bars.stop()

    def stage(self, round: int, stage: Stage[Any] | Activity, done: int, total: int, tokens: int) -> None:
        if stage.quiet:
            return
        key = (round, stage.name)
        if key not in self._tasks:
            self._started[key], self._tokens[key] = time.monotonic(), 0
            self._tasks[key] = self._bars.add_task(self._label(round, stage), total=total, rate="")
        self._tokens[key] += tokens
        seconds = time.monotonic() - self._started[key]
        rate = f"{self._tokens[key] / seconds:,.0f} tokens/s" if seconds > 1 and self._tokens[key] else ""
        self._bars.update(self._tasks[key], completed=done, rate=rate)
        if not self.console.is_terminal and (done == total or stage == LEARN):
            line = f"{self._label(round, stage)}: {done}/{total}  {rate}  {seconds:.0f} s"
            self.console.print(line, highlight=False, markup=False)

    def metrics(self, row: dict[str, Any]) -> None:
        pass

    def pairs(self, round: int, outcomes: Sequence[PairingOutcome]) -> None:
        pass

    def note(self, text: str) -> None:
        self.console.print(printable(text), style="yellow", highlight=False, markup=False)

    def _label(self, round: int, stage: Stage[Any] | Activity) -> str:
        where = f"round {round}/{self.rounds}  " if round else "baseline   "
        return printable(stage.label if stage in (START, COMPARISONS) else f"{where}{stage.label}")
