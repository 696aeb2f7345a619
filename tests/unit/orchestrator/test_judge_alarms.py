"""What a round's figures say against its judge, and that it stops the run where it is asked to."""

from pathlib import Path
from typing import Any

import pytest
from support.configs import base, changed
from support.observers import Notes

from roundelay.orchestrator.config.schema import EvaluationConfig
from roundelay.orchestrator.errors import RunError
from roundelay.orchestrator.ledger.ledger import Ledger
from roundelay.orchestrator.measure.alarms import heed_alarms, judge_alarms

WARNS: EvaluationConfig = changed(base().evaluation, min_parse_rate=0.5, min_swap_consistency=0.6)
STOPS: EvaluationConfig = changed(WARNS, canaries__action="stop")


def canary(wins: bool | None, *, score: float | None = None, win_rate: float | None = None) -> dict[str, Any]:
    return {"prompts": 8, "score": score, "policy_score": 2.5, "win_rate": win_rate, "wins": wins}


def manifest(**judged: dict[str, Any]) -> dict[str, Any]:
    """Of a round whose figures are `data`, `pairs_judge`, `judge` and `canaries`."""
    data = {"data": {"judge": judged.pop("data")}} if "data" in judged else {}
    return {**data, "evaluation": judged}


def test_a_healthy_judge_gives_no_alarm() -> None:
    """Figures at their threshold are not under it; what was not measured is no figure."""
    fine = manifest(
        data={"parse_rate": 0.5, "swap_consistency": 0.6},
        judge={"parse_rate": 1.0, "swap_consistency": None},
        pairs_judge={},
        canaries={"null": canary(False, score=1.0), "verdict": canary(None)},
    )
    assert judge_alarms(fine, WARNS) == []
    assert judge_alarms({"evaluation": {}}, WARNS) == []


def test_every_winning_canary_is_named_with_its_figures() -> None:
    found = judge_alarms(
        manifest(canaries={"null": canary(True, score=4.25), "verdict": canary(True, win_rate=0.75)}), WARNS
    )
    assert found == [
        "the judge prefers the canary null to the policy's responses, with a mean score of 4.25 against 2.5 on 8 "
        "prompts",
        "the judge prefers the canary verdict to the policy's responses, in 75% of comparisons on 8 prompts",
    ]


def test_every_figure_under_its_threshold_is_named_with_field_and_place() -> None:
    """In the judgments of the round, of round 0's held-out pairs, and of the evaluation."""
    found = judge_alarms(
        manifest(
            data={"parse_rate": 0.03, "swap_consistency": 0.25},
            pairs_judge={"parse_rate": 0.49, "swap_consistency": 0.9},
            judge={"parse_rate": 0.0},
        ),
        WARNS,
    )
    assert found == [
        "the judge's parse rate in judgments is 3.0%, under evaluation.min_parse_rate=0.5",
        "the judge's swap consistency in judgments is 25.0%, under evaluation.min_swap_consistency=0.6",
        "the judge's parse rate in heldout-judgments is 49.0%, under evaluation.min_parse_rate=0.5",
        "the judge's parse rate in eval-judgments is 0.0%, under evaluation.min_parse_rate=0.5",
    ]


def test_a_threshold_that_is_off_alarms_nobody() -> None:
    off: EvaluationConfig = changed(WARNS, min_parse_rate=None, min_swap_consistency=None)
    assert judge_alarms(manifest(data={"parse_rate": 0.0, "swap_consistency": 0.0}), off) == []


def test_an_alarm_is_told_or_stops_the_run_with_place_and_remedy(tmp_path: Path) -> None:
    ledger, notes = Ledger(str(tmp_path)), Notes()
    ledger.commit_round(1, manifest(canaries={"null": canary(True, score=4.0)}))
    ledger.commit_round(2, manifest(canaries={"null": canary(False, score=1.0)}))
    heed_alarms(1, WARNS, ledger, notes)
    assert len(notes.texts) == 1 and notes.texts[0].startswith("round 1: the judge prefers the canary null")
    with pytest.raises(RunError) as stopped:
        heed_alarms(1, STOPS, ledger, notes)
    assert stopped.value.what.startswith("round 1: the judge prefers the canary null")
    assert f"{tmp_path}/rounds/001" in stopped.value.remedy
    assert "resume with evaluation.canaries.action=warn" in stopped.value.remedy
    heed_alarms(2, STOPS, ledger, notes)
    assert len(notes.texts) == 1
