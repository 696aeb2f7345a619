"""What a watcher of a run without a terminal is told."""

import io
from typing import Any

import pytest
from rich.console import Console

from roundelay.launch.run.progress import TerminalProgress
from roundelay.orchestrator.data.records import Rollout
from roundelay.orchestrator.ledger.layout import HELDOUT_ROLLOUTS, LEARN, ROLLOUTS, STAGES, Stage, sampled_by


@pytest.mark.parametrize(
    ("round", "stage", "sampler", "line"),
    [
        (2, ROLLOUTS, "policy", "round 2/3  sample: 4/4"),
        (2, ROLLOUTS, "initial", "round 2/3  sample by initial: 4/4"),
        (2, ROLLOUTS, "round-1", "round 2/3  sample by round-1: 4/4"),
        (0, HELDOUT_ROLLOUTS, "previous", "baseline   held-out: sample pairs by previous: 4/4"),
    ],
)
def test_every_samplers_stage_has_a_line_of_its_own(round: int, stage: Stage[Rollout], sampler: str, line: str) -> None:
    written = io.StringIO()
    with TerminalProgress(Console(file=written, width=120), rounds=3) as progress:
        progress.stage(round, sampled_by(sampler, stage), 4, 4, 100)
    assert written.getvalue().startswith(line)


@pytest.mark.parametrize("stage", [*STAGES.values(), LEARN], ids=lambda stage: stage.name)
def test_a_stage_has_a_line_unless_it_is_over_in_an_instant(stage: Stage[Any]) -> None:
    written = io.StringIO()
    with TerminalProgress(Console(file=written, width=120), rounds=3) as progress:
        progress.stage(1, stage, 4, 4, 0)
    assert written.getvalue().startswith("" if stage.quiet else f"round 1/3  {stage.label}: 4/4")
    assert bool(written.getvalue()) is not stage.quiet
