"""What a judge says, wherever its scores count: in pairs, filters, canaries, and the figures of its health."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.configs import (
    ADDITIVE,
    ALL_CREAM,
    BY_CREAM,
    BY_FUNCTION,
    DISPUTED,
    EXPECTED,
    META,
    PAIRWISE,
    PANEL,
    RATING,
    RIP,
    base,
    changed,
)
from support.judging import rollout
from support.rounds import comparison, judgment
from support.scripted_engine import prompts
from support.scripted_run import ScriptedRun

from roundelay.launch.phases import build_phase
from roundelay.orchestrator.data.records import CanaryJudgment, Judgment, PairingOutcome, Shard
from roundelay.orchestrator.evaluate.canaries import canary_summary
from roundelay.orchestrator.measure.judge_health import JudgeHealth
from roundelay.orchestrator.protocols import Phase

# Two honest members of 0 to 5 and 1 to 10, which votes twice, and one that lies on a scale of its own.
LIAR = changed(BY_FUNCTION, function="support.rewards:characters")
MEMBERS = {
    "honest": changed(EXPECTED, scores=("0", "1", "2", "3", "4", "5")),
    "rating": RATING,
    "liar": LIAR,
}
MAJORITY = changed(PANEL, members=MEMBERS, aggregate="majority")
SHARD = Shard(round=1, index=0, prompts=tuple(prompts("p", "q")), split="train")


def votes(prompt: str, sample: int, honest: float | None, rating: float | None, liar: float | None) -> list[Judgment]:
    """The four votes on a response: numbers 0, 1 and 2 (the rating's two), and 3."""
    return [
        judgment(sample, score, status="unparsable" if score is None else "parsed", prompt=prompt, vote=number)
        for number, score in enumerate((honest, rating, rating, liar))
    ]


# p: the honest members agree on 0 over 1 over 2. q: on 0 over both others, which are even for all three.
SAID = [
    *votes("p", 0, 5.0, 9.0, 0.0), *votes("p", 1, 3.0, 5.0, 60.0), *votes("p", 2, 1.0, 2.0, 100.0),
    *votes("q", 0, 5.0, 9.0, 0.0), *votes("q", 1, 1.0, 2.0, 50.0), *votes("q", 2, 1.0, 2.0, 50.0),
]  # fmt: skip
SHARES = {("p", 0): 1.0, ("p", 1): 0.5, ("p", 2): 0.0, ("q", 0): 1.0, ("q", 1): 0.25, ("q", 2): 0.25}


def scores(judgments: list[Judgment]) -> dict[tuple[str, int], float | None]:
    return {(one.prompt_id, one.sample): one.score for one in judgments}


def paired(phase: Phase, judgments: list[Judgment]) -> list[PairingOutcome]:
    return [
        phase.pair(
            SHARD,
            prompt,
            [rollout(prompt.id, sample, f"{prompt.id}{sample}") for sample in range(3)],
            [one for one in judgments if one.prompt_id == prompt.id],
        )
        for prompt in SHARD.prompts
    ]


def rows_of(phase: Phase, judgments: list[Judgment]) -> np.ndarray:
    assert phase.filter is not None
    return phase.filter.measure(paired(phase, judgments), judgments)


def test_a_panel_says_one_thing_of_each_response_to_each_prompt() -> None:
    """By majority the shares of the others that it beats: p's 1, ½, 0; q's 1, and ¼ twice (even with each other)."""
    said = MAJORITY.conclude(SAID)
    assert scores(said) == SHARES and len(said) == 6


@pytest.mark.parametrize("judge", [EXPECTED, ADDITIVE, PAIRWISE, BY_FUNCTION])
def test_a_judge_that_is_one_says_what_it_said(judge: Any) -> None:
    judgments = [*SAID, judgment(0, None, status="unparsable"), comparison(1, 0.3)]
    assert judge.conclude(judgments) == judgments


def test_rip_goes_by_the_panels_scores_and_not_by_a_mean_over_scales() -> None:
    """p: 0 over 2, r(y_l) = 0, margin 1. q: 0 over 1, r(y_l) = ¼, margin ¾. Medians: 1/8 and 7/8; lengths are equal. So
    q stays. Over all votes, r(y_l) would be (1 + 2 + 2 + 100)/4 = 26¼ of p, and (1 + 2 + 2 + 50)/4 = 13¾ of q, which
    would go."""
    phase = build_phase(changed(base(), judge=MAJORITY, filter=RIP), None)
    rows = rows_of(phase, SAID)
    assert rows["score"].tolist() == [1.0, 1.0] and rows["rejected_score"].tolist() == [0.0, 0.25]
    assert rows["margin"].tolist() == [1.0, 0.75]
    assert phase.filter is not None
    decision = phase.filter.decide(rows)
    assert list(decision.dropped) == ["low_rejected_score", None]
    assert decision.limits == {"rejected_score": 0.125, "rejected_length": 1.0, "margin": 0.875}


def test_a_filter_of_judgments_judged_goes_by_the_strengths_that_paired_them() -> None:
    """1 beats 0 and 2, 2 beats 0, both ways round: strengths rise from 0 over 2 to 1, and are as far apart as the
    pair's margin says. A comparison has no score to be averaged."""
    phase = build_phase(changed(base(), judge=META, new_prompts=DISPUTED, filter=RIP), None)
    won = {(0, 1): 0.0, (0, 2): 0.0, (1, 2): 1.0}
    battles = [
        Judgment(
            prompt_id=prompt.id, sample=sample, other=other, vote=vote, status="parsed", score=None, choice_mass=None,
            text="", probability=wins,
        )
        for prompt in SHARD.prompts for (sample, other), wins in won.items() for vote in (0, 1)
    ]  # fmt: skip
    for row in rows_of(phase, battles):
        assert row["score"] > 0 > row["rejected_score"]
        assert row["score"] - row["rejected_score"] == pytest.approx(row["margin"], abs=1e-6)


def test_of_two_voters_a_filter_takes_the_scores_of_the_one_that_the_pair_goes_by() -> None:
    """The policy (vote 0) gives 3, 2, 1; the one before it (vote 1) −50, 7, 80. The pair is 0 over 2; the two agree on
    no order, so its label is 0."""
    phase = build_phase(changed(base(), **ALL_CREAM, filter=RIP), None)
    voted = [
        judgment(sample, score, prompt=prompt.id, vote=vote)
        for prompt in SHARD.prompts
        for vote, given in enumerate(((3.0, 2.0, 1.0), (-50.0, 7.0, 80.0)))
        for sample, score in enumerate(given)
    ]
    for row in rows_of(phase, voted):
        assert (row["score"], row["rejected_score"], row["margin"], row["label_probability"]) == (3.0, 1.0, 2.0, 0.0)
    assert scores(BY_CREAM.conclude(voted))[("p", 2)] == 1.0


# ------------------------------------------------------------------------------------------------------------- canaries


def canary(*judgments: Judgment) -> dict[str, Any]:
    """What the panel's phase makes of a canary (sample 1) beside the policy's response (sample 0)."""
    reading = build_phase(changed(base(), judge=MAJORITY), None).reading
    planted = [CanaryJudgment(canary="null", judgment=one) for one in judgments]
    return canary_summary(planted, conclude=reading.conclude)["null"]


def test_a_canary_that_most_members_prefer_wins_whatever_the_third_one_says() -> None:
    """Over all votes the policy's response would win by (1 + 2 + 2 + 90)/4 against (4 + 7 + 7 + 0)/4."""
    found = canary(*votes("p", 0, 1.0, 2.0, 90.0), *votes("p", 1, 4.0, 7.0, 0.0))
    assert found == {"prompts": 1, "score": 1.0, "policy_score": 0.0, "win_rate": None, "wins": True}


def test_a_canary_does_not_win_because_a_member_could_not_be_read() -> None:
    """The liar's 90 stands against nothing: over all votes, (1 + 2 + 2 + 90)/4 would beat (4 + 9 + 9)/3."""
    found = canary(*votes("p", 0, 4.0, 9.0, None), *votes("p", 1, 1.0, 2.0, 90.0))
    assert found == {"prompts": 1, "score": 0.0, "policy_score": 1.0, "win_rate": None, "wins": False}


def test_responses_that_no_member_has_scored_both_of_are_no_tie() -> None:
    """A prompt on which nothing can be compared says nothing."""
    found = canary(*votes("p", 0, 4.0, None, None), *votes("p", 1, None, 2.0, None))
    assert found == {"prompts": 0, "score": None, "policy_score": None, "win_rate": None, "wins": None}


# --------------------------------------------------------------------------------------------------------------- health


def test_health_counts_a_panels_votes_and_describes_its_scores() -> None:
    """24 votes and one that was not read, on top of which nothing changes: the six shares have the mean ½. With lengths
    4, 2, 0 and 4, 1, 1, which are four times the shares, they correlate fully; the votes would correlate with lies."""
    reading = build_phase(changed(base(), judge=MAJORITY), None).reading
    health = JudgeHealth(reading=reading)
    responses = [
        changed(rollout(prompt, sample, ""), token_ids=(7,) * int(4 * share), logprobs=())
        for (prompt, sample), share in SHARES.items()
    ]
    health.add(responses, [*SAID, judgment(0, None, status="unparsable", prompt="p", vote=3)])
    summary = health.summary()
    assert (summary["votes"], summary["unparsable"], summary["parse_rate"]) == (25, 1, 0.96)
    assert summary["score_mean"] == 0.5 and summary["score_length_correlation"] == pytest.approx(1.0)
    assert summary["score_histogram"] is None


def test_a_runs_figures_are_of_what_its_panels_say(tmp_path: Path) -> None:
    """The round's panel goes by the majority: of any two responses the shares have the mean ½, in round 0's held-out
    pairs too. The evaluation's goes by the median of two members: a score for each of the four held-out responses."""
    expected = MEMBERS["honest"]
    by_majority = changed(PANEL, members={"one": EXPECTED, "other": expected}, aggregate="majority")
    by_median = changed(PANEL, members={"one": expected, "other": expected}, aggregate="median")
    run = ScriptedRun(changed(base(), judge=by_majority, evaluation__judge=by_median, run__rounds=1), tmp_path)
    run.go_on()
    pairs_judge, judge = run.ledger.manifest(0)["evaluation"]["pairs_judge"], run.ledger.manifest(1)["data"]["judge"]
    for figures in (pairs_judge, judge):
        assert figures["score_mean"] == pytest.approx(0.5) and figures["score_histogram"] is None
    heldout = run.ledger.manifest(1)["evaluation"]["judge"]
    assert heldout["votes"] == 8 and sum(heldout["score_histogram"]) == 4
    assert heldout["score_points"] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
