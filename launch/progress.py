"""Live progress: stage, shards, tokens a second, time left. One line a stage where there is no terminal."""

import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from ..orchestrator.printable import printable
from ..orchestrator.records import PairingOutcome

STAGE_NAMES = {
    "start": "start engines",
    "prompts": "new prompts",
    "rollouts": "sample",
    "judgments": "judge",
    "pairs": "pair",
    "selected": "filter",
    "prepare": "prepare",
    "learn": "learn",
    "heldout-rollouts": "held-out: sample pairs",
    "heldout-judgments": "held-out: judge pairs",
    "heldout-pairs": "held-out: pair",
    "eval-rollouts": "evaluate: respond",
    "eval-judgments": "evaluate: judge",
    "eval-logps": "evaluate: implicit reward",
    "comparisons": "judge pairs",
    "canary-judgments": "evaluate: judge canaries",
    "drift-judgments": "evaluate: judge the initial responses again",
    "labels-drift-judgments": "evaluate: judge the first pairs' responses again",
    "own-preference-judgments": "evaluate: judge beside the initial responses",
    "other-preference-judgments": "evaluate: the other judge on the same",
    "fresh-rollouts": "evaluate: respond to fresh prompts",
    "fresh-judgments": "evaluate: judge on fresh prompts",
}
QUIET_STAGES = {"pairs", "selected", "heldout-pairs"}  # instantaneous


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

    def stage(self, round: int, stage: str, done: int, total: int, tokens: int) -> None:
        if stage in QUIET_STAGES:
            return
        key = (round, stage)
        if key not in self._tasks:
            self._started[key], self._tokens[key] = time.monotonic(), 0
            self._tasks[key] = self._bars.add_task(self._label(round, stage), total=total, rate="")
        self._tokens[key] += tokens
        seconds = time.monotonic() - self._started[key]
        rate = f"{self._tokens[key] / seconds:,.0f} tokens/s" if seconds > 1 and self._tokens[key] else ""
        self._bars.update(self._tasks[key], completed=done, rate=rate)
        if not self.console.is_terminal and (done == total or stage == "learn"):
            line = f"{self._label(round, stage)}: {done}/{total}  {rate}  {seconds:.0f} s"
            self.console.print(line, highlight=False, markup=False)

    def metrics(self, row: dict[str, Any]) -> None:
        pass

    def pairs(self, round: int, outcomes: Sequence[PairingOutcome]) -> None:
        pass

    def note(self, text: str) -> None:
        self.console.print(printable(text), style="yellow", highlight=False, markup=False)

    def _label(self, round: int, stage: str) -> str:
        alone = stage in ("start", "comparisons")
        where = "" if alone else f"round {round}/{self.rounds}  " if round else "baseline   "
        split, _, sampler = stage.partition("rollouts-")
        base = f"{split}rollouts" if sampler else stage
        # A stage that nobody named must not stop a run.
        return printable(f"{where}{STAGE_NAMES.get(base, base)}{f' by {sampler}' if sampler else ''}")
