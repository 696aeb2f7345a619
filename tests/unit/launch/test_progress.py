"""What a watcher of a run without a terminal is told."""

import io

import pytest
from rich.console import Console

from roundelay.launch.progress import STAGE_NAMES, TerminalProgress
from roundelay.orchestrator.commit import HASHED_STAGES
from roundelay.orchestrator.stages import rollout_stage


@pytest.mark.parametrize(
    ("round", "prefix", "sampler", "line"),
    [
        (2, "", "policy", "round 2/3  sample: 4/4"),
        (2, "", "initial", "round 2/3  sample by initial: 4/4"),
        (2, "", "round-1", "round 2/3  sample by round-1: 4/4"),
        (0, "heldout-", "previous", "baseline   held-out: sample pairs by previous: 4/4"),
    ],
)
def test_every_samplers_stage_has_a_line_of_its_own(round: int, prefix: str, sampler: str, line: str) -> None:
    written = io.StringIO()
    with TerminalProgress(Console(file=written, width=120), rounds=3) as progress:
        progress.stage(round, f"{prefix}{rollout_stage(sampler)}", 4, 4, 100)
    assert written.getvalue().startswith(line)


@pytest.mark.parametrize("stage", HASHED_STAGES)
def test_every_stage_that_a_manifest_knows_is_named(stage: str) -> None:
    assert stage == "prompts" or stage in STAGE_NAMES


def test_a_stage_without_a_name_goes_by_its_own() -> None:
    written = io.StringIO()
    with TerminalProgress(Console(file=written, width=120), rounds=3) as progress:
        progress.stage(1, "tomorrows-judgments", 4, 4, 0)
    assert written.getvalue().startswith("round 1/3  tomorrows-judgments: 4/4")
