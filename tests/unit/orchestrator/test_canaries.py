"""When a planted response beats the policy's, by hand."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from support.configs import BY_FUNCTION, PANEL, base, changed
from support.observers import Notes
from support.rounds import comparison, judgment
from support.scripted import Store, response

from roundelay.launch.phases import build_phase
from roundelay.orchestrator.data.records import CanaryJudgment, Judgment, Rollout, Shard
from roundelay.orchestrator.evaluate.canaries import canary_summary, judge_canaries
from roundelay.orchestrator.ledger.ledger import Ledger
from roundelay.orchestrator.prompts.shards import RoundShards
from roundelay.orchestrator.protocols import Generate
from roundelay.orchestrator.round.stages import Stages


def of(canary: str, *judgments: Judgment) -> list[CanaryJudgment]:
    return [CanaryJudgment(canary=canary, judgment=one) for one in judgments]


def scores(prompt: str, own: float | None, *planted: float | None) -> list[Judgment]:
    """Of the policy's response (sample 0), and votes on the planted one (sample 1)."""
    return [
        judgment(0, own, status="unparsable" if own is None else "parsed", prompt=prompt),
        *(
            judgment(1, score, status="unparsable" if score is None else "parsed", prompt=prompt, vote=vote)
            for vote, score in enumerate(planted)
        ),
    ]


def test_a_canary_wins_by_a_higher_mean_score_on_the_same_prompts() -> None:
    """a: 2 against the votes 4 and 5, so 4.5; b: 3 against 1, whose other vote did not parse. Means 2.5 and 2.75. On c
    the policy's response has no score, on d the canary has none: neither prompt says anything."""
    judgments = [
        *scores("a", 2.0, 4.0, 5.0),
        *scores("b", 3.0, None, 1.0),
        *scores("c", None, 5.0),
        *scores("d", 5.0, None),
    ]
    assert canary_summary(of("null", *judgments)) == {
        "null": {"prompts": 2, "score": 2.75, "policy_score": 2.5, "win_rate": None, "wins": True}
    }


def test_a_canary_with_the_policys_mean_does_not_win() -> None:
    """0.1 + 0.2 and 0.3 + 0.0 have the same mean; that the sums of floats differ in the last bit is no win."""
    judgments = [*scores("a", 0.3, 0.1), *scores("b", 0.0, 0.2)]
    summary = canary_summary(of("null", *judgments))["null"]
    assert summary["wins"] is False and summary["prompts"] == 2


def test_where_responses_are_compared_a_canary_wins_by_more_than_half_of_the_comparisons() -> None:
    """P(the policy's is better). a: .1 and .4, both won; b: .9 shown first and .2 shown second, one won; c: even twice,
    one won in all. 4 of 6. d, of which one order has no answer, would be a win."""
    judgments = [
        *(comparison(0, 0.1, prompt="a"), comparison(1, 0.4, prompt="a")),
        *(comparison(0, 0.9, prompt="b"), comparison(1, 0.2, prompt="b")),
        *(comparison(0, 0.5, prompt="c"), comparison(1, 0.5, prompt="c")),
        *(comparison(0, 0.1, prompt="d"), comparison(1, None, prompt="d")),
    ]
    assert canary_summary(of("verdict", *judgments)) == {
        "verdict": {"prompts": 3, "score": None, "policy_score": None, "win_rate": 4 / 6, "wins": True}
    }


def test_a_judge_that_sees_the_place_alone_is_not_fooled_by_a_canary() -> None:
    """Whatever is shown first wins: half of the comparisons, which is not more than half."""
    judgments = [comparison(first, 0.9 if first == 0 else 0.1, prompt=prompt) for prompt in "ab" for first in (0, 1)]
    summary = canary_summary(of("null", *judgments))["null"]
    assert (summary["win_rate"], summary["wins"]) == (0.5, False)


def test_a_comparison_may_name_the_canary_first() -> None:
    """P(canary is better than the policy's) = .8."""
    named_first = replace(comparison(1, 0.8), sample=1, other=0)
    assert canary_summary(of("null", named_first))["null"]["win_rate"] == 1.0


def test_canaries_are_counted_apart_and_a_judge_without_an_answer_says_nothing() -> None:
    """A parse that fails is neither a win nor a loss."""
    judgments = of("null", *scores("a", 1.0, 2.0)) + of("verdict", *scores("a", 1.0, None))
    found = canary_summary(judgments)
    assert found["null"]["wins"] is True
    assert found["verdict"] == {
        "prompts": 0, "score": None, "policy_score": None, "win_rate": None, "wins": None
    }  # fmt: skip
    assert canary_summary([]) == {}


def test_a_rounds_canaries_win_by_what_a_panels_votes_come_to(tmp_path: Path) -> None:
    """Two of three members prefer the canary on both prompts, the third gives the policy's response 90 and it nothing.
    The votes are in the ledger."""
    by_length = changed(BY_FUNCTION, function="support.rewards:characters")
    panel = changed(PANEL, members=dict.fromkeys(("one", "other", "liar"), by_length), aggregate="majority")
    store: Any = Store(2)
    shards = RoundShards(round=1, split="heldout", store=store, indices=range(2), prompts_per_shard=1)
    rollouts: Any = SimpleNamespace(generate=None, policy_version=1)
    stages = Stages(ledger=Ledger(str(tmp_path)), rollouts=rollouts, observer=Notes())

    async def judge(
        shard: Shard, responses: Sequence[Rollout], policy_version: int, generate: Generate
    ) -> list[CanaryJudgment]:
        given = {0: (1.0, 2.0, 90.0), 1: (4.0, 3.0, 0.0)}
        return of("null", *(judgment(sample, score, prompt=responses[0].prompt_id, vote=number)
                            for sample, scores in given.items() for number, score in enumerate(scores)))  # fmt: skip

    phase = build_phase(changed(base(), judge=panel), None)
    stages.start_round(replace(phase, heldout=replace(phase.heldout, judge_canaries=judge)))
    for shard in shards:
        stages.ledger.write_shard("eval-rollouts", shard, Rollout, [response(shard.prompts[0], 0, "x")])
    assert asyncio.run(judge_canaries(shards, stages=stages, in_flight=2)) == {
        "null": {"prompts": 2, "score": 1.0, "policy_score": 0.0, "win_rate": None, "wins": True}
    }
    assert len(list(stages.ledger.read_stage(1, "canary-judgments", CanaryJudgment))) == 12
