"""The stage table is what a run goes by: what is in no row is not run, and every row that ran is in the manifest."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.observers import Notes

from roundelay.orchestrator.data.records import Dropped, Shard
from roundelay.orchestrator.ledger.layout import ROLLOUTS, STAGES, Stage, row_of, sampled_by
from roundelay.orchestrator.ledger.ledger import Ledger
from roundelay.orchestrator.round.stages import Stages


def test_a_stage_without_a_row_cannot_be_run(tmp_path: Path) -> None:
    engines: Any = None
    stages = Stages(ledger=Ledger(str(tmp_path)), rollouts=engines, observer=Notes())
    shard = Shard(round=1, index=0, prompts=(), split="train")

    tomorrows = Stage(name="tomorrows-judgments", label="judge", records=Dropped)

    async def compute() -> list[Dropped]:
        return []

    with pytest.raises(AssertionError, match="tomorrows-judgments is in no row"):
        asyncio.run(stages.committed(tomorrows, shard, 1, compute))
    assert not list(tmp_path.iterdir())


def test_a_directory_of_a_round_leads_to_its_row() -> None:
    assert row_of("rollouts-round-3") is ROLLOUTS is row_of(sampled_by("policy", ROLLOUTS).name)
    assert row_of(sampled_by("/models/a", ROLLOUTS).name) is ROLLOUTS
    assert row_of("heldout-rollouts-initial") is STAGES["heldout-rollouts"]
    assert row_of("policy") is None and row_of("judgments-initial") is None
