"""How much more the policy likes its own responses than another judge does, by hand."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.configs import (
    AB,
    ADDITIVE,
    BY_FUNCTION,
    DISPUTED,
    EXPECTED,
    IMPLICIT,
    META,
    NO_JUDGE,
    PANEL,
    base,
    changed,
)
from support.observers import Notes
from support.rounds import comparison, judgment
from support.scripted import Store, response

from roundelay.launch.phases import build_phase
from roundelay.orchestrator.config.schema import Config
from roundelay.orchestrator.data.records import Judgment, Rollout, Shard
from roundelay.orchestrator.evaluate.self_preference import measure_self_preference, self_preference
from roundelay.orchestrator.ledger.ledger import Ledger
from roundelay.orchestrator.prompts.shards import RoundShards
from roundelay.orchestrator.protocols import Generate, Judge, Opinion, Reading
from roundelay.orchestrator.round.stages import Stages

LENGTH = changed(BY_FUNCTION, function="support.rewards:characters")
NOTHING = {"prompts": 0, "own_win_rate": None, "other_win_rate": None, "self_preference": None}


def scored(prompt: str, before: float | None, now: float | None) -> list[Judgment]:
    return [
        judgment(sample, score, status="unparsable" if score is None else "parsed", prompt=prompt)
        for sample, score in enumerate((before, now))
    ]


def test_self_preference_is_the_policys_win_rate_less_the_other_judges_on_what_both_answered() -> None:
    """The policy: a and b won, c even, so 2.5 of 3. The other one, on a scale of its own: a lost, b won, c lost, 1 of
    3. d has no answer of the policy, e none of the other. 5/6 − 1/3 = 1/2."""
    own = [*scored("a", 1, 2), *scored("b", 3, 4), *scored("c", 5, 5), *scored("d", None, 5), *scored("e", 1, 5)]
    other = [*scored("a", 90, 10), *scored("b", 10, 90), *scored("c", 2, 1), *scored("d", 90, 1), *scored("e", 1, None)]
    assert self_preference(own, other) == {
        "prompts": 3,
        "own_win_rate": pytest.approx(5 / 6),
        "other_win_rate": pytest.approx(1 / 3),
        "self_preference": pytest.approx(1 / 2),
    }


def test_a_judge_that_compares_wins_by_its_verdicts_both_ways_round() -> None:
    """P(sample 0, of before, is better). a: .1 and .4, both for now; b: .9 for before, then .2 for now: ½; c: one way
    has no answer, so the prompt is left out. (1 + ½)/2 against the scores' (0 + 0)/2."""
    own = [
        *(comparison(0, 0.1, prompt="a"), comparison(1, 0.4, prompt="a")),
        *(comparison(0, 0.9, prompt="b"), comparison(1, 0.2, prompt="b")),
        *(comparison(0, 0.1, prompt="c"), comparison(1, None, prompt="c")),
    ]
    found = self_preference(own, [*scored("a", 2, 1), *scored("b", 2, 1), *scored("c", 2, 1)])
    assert found == {"prompts": 2, "own_win_rate": 0.75, "other_win_rate": 0.0, "self_preference": 0.75}


def test_judges_that_answer_nothing_have_no_preference() -> None:
    """As a reward model that is not trained yet."""
    assert self_preference(scored("a", 1, 2), []) == NOTHING


# ---------------------------------------------------------------------------------------------------------- in a round

STORE: Any = Store(4)
SHARDS = RoundShards(round=2, split="heldout", store=STORE, indices=range(4), prompts_per_shard=2)


def by(score: Callable[[Rollout], float], shown: list[str]) -> Judge:
    async def judge(shard: Shard, rollouts: Sequence[Rollout], generate: Generate) -> list[Judgment]:
        assert [one.prompt_id for one in rollouts] == [prompt.id for prompt in shard.prompts for _ in (0, 1)]
        shown.extend(f"{one.sample}:{one.text}" for one in rollouts)
        return [judgment(one.sample, score(one), prompt=one.prompt_id) for one in rollouts]

    return judge


def test_both_judges_see_what_the_policy_says_now_beside_what_the_initial_one_said(tmp_path: Path) -> None:
    """Of three prompts the second's response is what it was: nobody is asked. The policy prefers the longer response,
    which is now's; the other judge's scores are the same, but are read the other way round."""
    shown: list[str] = []
    rollouts: Any = SimpleNamespace(generate=None)
    stages = Stages(ledger=Ledger(str(tmp_path)), rollouts=rollouts, observer=Notes())
    for shard in SHARDS:
        for round in (0, 2):
            texts = {prompt.id: "same" if prompt.id == "1" else "x" * (1 + round) for prompt in shard.prompts}
            answered = [response(prompt, 0, texts[prompt.id]) for prompt in shard.prompts]
            stages.ledger.write_shard("eval-rollouts", replace(shard, round=round), Rollout, answered)
    judge = by(lambda rollout: float(len(rollout.text)), shown)
    turned = Reading(conclude=lambda said: [replace(one, score=-one.score) for one in said if one.score is not None])
    opinions = (Opinion(judge=judge, reading=Reading()), Opinion(judge=judge, reading=turned))
    phase = build_phase(base(), None)
    stages.start_round(replace(phase, heldout=replace(phase.heldout, opinions=opinions)))

    def measured() -> Any:
        return asyncio.run(measure_self_preference(SHARDS.first(3), stages=stages, in_flight=1))

    assert measured() == {"prompts": 2, "own_win_rate": 1.0, "other_win_rate": 0.0, "self_preference": 1.0}
    assert shown == ["0:x", "1:xxx"] * 4
    assert measured()["prompts"] == 2 and len(shown) == 8, "what is committed is not judged again"


@pytest.mark.parametrize(
    ("config", "second"),
    [
        pytest.param(changed(base(), judge=LENGTH, evaluation__judge=EXPECTED), True, id="the round's"),
        pytest.param(changed(base(), judge=ADDITIVE, evaluation__judge=LENGTH), True, id="the evaluation's"),
        pytest.param(changed(base(), judge=AB, evaluation__judge=LENGTH), True, id="a policy that compares"),
        pytest.param(changed(base(), judge=PANEL, evaluation__judge=LENGTH), True, id="a panel of the policy"),
        pytest.param(changed(base(), judge=ADDITIVE, evaluation__judge=EXPECTED), False, id="the policy twice"),
        pytest.param(changed(base(), judge=LENGTH, evaluation__judge=LENGTH), False, id="never the policy"),
        pytest.param(changed(base(), judge=NO_JUDGE), False, id="one judge"),
        pytest.param(changed(base(), judge=META, new_prompts=DISPUTED, evaluation__judge=LENGTH), False,
                     id="a judge of judgments"),
        pytest.param(changed(base(), judge=IMPLICIT, evaluation__judge=LENGTH), False, id="log-probs nobody holds"),
    ],
)  # fmt: skip
def test_a_second_judge_exists_where_one_of_two_is_the_policy(config: Config, second: bool) -> None:
    scorers: Any = SimpleNamespace(models={}, logps=None)
    assert (build_phase(config, scorers).heldout.opinions is not None) == second


def test_the_policys_opinion_comes_first_whichever_judge_it_is() -> None:
    """A judge by length has no scale, the policy's has."""
    for round_judge, evaluation_judge in ((LENGTH, EXPECTED), (EXPECTED, LENGTH)):
        phase = build_phase(changed(base(), judge=round_judge, evaluation__judge=evaluation_judge), None)
        assert phase.heldout.opinions is not None
        assert [opinion.reading.points for opinion in phase.heldout.opinions] == [(0.0, 1.0), None]


def test_the_initial_policy_is_not_compared_with_itself(tmp_path: Path) -> None:
    rollouts: Any = SimpleNamespace(generate=None)
    stages = Stages(ledger=Ledger(str(tmp_path)), rollouts=rollouts, observer=Notes())
    stages.start_round(build_phase(changed(base(), judge=LENGTH), None))
    assert stages.phase.heldout.opinions is not None
    assert asyncio.run(measure_self_preference(replace(SHARDS, round=0), stages=stages, in_flight=1)) is None
