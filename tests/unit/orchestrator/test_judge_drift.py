"""How far a judge has moved from a frozen one, by hand."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.configs import (
    ADDITIVE,
    BY_FUNCTION,
    EXPECTED,
    IMPLICIT,
    NO_JUDGE,
    PANEL,
    RATING,
    base,
    changed,
    phase,
    with_phases,
)
from support.observers import Notes
from support.rounds import comparison, judgment
from support.scripted import Store, response

from roundelay.launch.phases import build_phase
from roundelay.orchestrator.config.schema import Config
from roundelay.orchestrator.data.records import Judgment, Rollout, Shard
from roundelay.orchestrator.evaluate.drift import drift, measure_drift, measure_labels_drift
from roundelay.orchestrator.ledger.ledger import Ledger
from roundelay.orchestrator.parts.conditions import Condition
from roundelay.orchestrator.prompts.shards import RoundShards
from roundelay.orchestrator.protocols import Generate
from roundelay.orchestrator.round.stages import Stages

NOTHING_COMPARED = {"comparisons": 0, "agreement": None}


def judged(**scores: float | None) -> list[Judgment]:
    """One vote a prompt."""
    return [
        judgment(0, score, status="unparsable" if score is None else "parsed", prompt=prompt)
        for prompt, score in scores.items()
    ]


def test_drift_is_the_correlation_of_ranks_and_the_mean_difference() -> None:
    """Before 1 2 3 4, now 3 5 4 6 (prompts in another order): ranks 1 3 2 4, Σd² = 2, 1 − 6·2/(4·15) = 0.8;
    differences 2, 3, 1, 2, mean 2."""
    found = drift(judged(a=1.0, b=2.0, c=3.0, d=4.0), judged(d=6.0, c=4.0, b=5.0, a=3.0))
    assert found == {"responses": 4, "spearman": pytest.approx(0.8), "mean_shift": 2.0, **NOTHING_COMPARED}


def test_only_responses_that_both_have_scored_count_with_the_mean_of_their_votes() -> None:
    """a: votes 1 and 3 before, 4 now: +2. b has no score now, c none before, d is not asked about again."""
    before = [*judged(b=5.0, c=None, d=5.0), judgment(0, 1.0, prompt="a"), judgment(0, 3.0, prompt="a", vote=1)]
    assert drift(before, judged(a=4.0, b=None, c=1.0)) == {
        "responses": 1, "spearman": None, "mean_shift": 2.0, **NOTHING_COMPARED
    }  # fmt: skip


def test_a_judge_that_now_scores_all_alike_has_a_shift_and_no_correlation() -> None:
    assert drift(judged(a=1.0, b=3.0), judged(a=5.0, b=5.0)) == {
        "responses": 2, "spearman": None, "mean_shift": 3.0, **NOTHING_COMPARED
    }  # fmt: skip


def test_without_a_common_score_there_is_no_drift() -> None:
    """As where a reward model did not exist yet."""
    assert drift([], judged(a=1.0)) == {
        "responses": 0, "spearman": None, "mean_shift": None, **NOTHING_COMPARED
    }  # fmt: skip


def test_a_judge_that_compares_agrees_with_the_frozen_one_where_its_verdict_is_the_same() -> None:
    """Asked both ways round. a: 0 both times before; now 0, and 1 with 1 first. b: neither before and now; with 1 first
    0 before, neither now. c: has no answer before. d: is not asked about now. 2 of 4 are the same."""
    before = [
        *(comparison(0, 0.9, prompt="a"), comparison(1, 0.6, prompt="a")),
        *(comparison(0, 0.5, prompt="b"), comparison(1, 0.7, prompt="b")),
        *(comparison(0, None, prompt="c"), comparison(0, 0.9, prompt="d")),
    ]
    now = [
        *(comparison(1, 0.4, prompt="a"), comparison(0, 0.51, prompt="a")),
        *(comparison(0, 0.5, prompt="b"), comparison(1, 0.5, prompt="b")),
        comparison(0, 0.9, prompt="c"),
    ]
    assert drift(before, now) == {
        "responses": 0, "spearman": None, "mean_shift": None, "comparisons": 4, "agreement": 0.5
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------------- in a round

SCORES = (1.0, 3.0, 2.0, 5.0)  # of round 0's responses to prompts 0 to 3, by both of its judges
STORE: Any = Store(4)
ONCE = changed(ADDITIVE, votes=1)


def shards(round: int) -> RoundShards:
    return RoundShards(round=round, split="heldout", store=STORE, indices=range(4), prompts_per_shard=2)


class Later:
    """Round 2 of a run whose round 0 is in the ledger of `directory`: the judges of now score by `now`, and what they
    are shown is kept."""

    def __init__(self, directory: Path, config: Config, *before: Judgment, now: Callable[[Rollout], list[Judgment]]):
        self.ledger, self.now, self.shown = Ledger(str(directory)), now, list[tuple[Shard, list[Rollout]]]()
        for shard in shards(0):
            for stage in ("eval", "heldout"):
                answered = [response(prompt, sample, f"{stage} {prompt.id}.{sample}")
                            for prompt in shard.prompts for sample in (0, 1)]  # fmt: skip
                own = [one for one in before if one.prompt_id in {prompt.id for prompt in shard.prompts}]
                self.ledger.write_shard(f"{stage}-rollouts", shard, Rollout, answered)
                self.ledger.write_shard(f"{stage}-judgments", shard, Judgment, own)
        rollouts: Any = SimpleNamespace(generate=None)
        self.config = config
        self.stages = Stages(ledger=self.ledger, rollouts=rollouts, observer=Notes())
        built = build_phase(config.at(2), None)
        again = built.heldout
        moved = replace(
            again,
            rejudge=again.rejudge and self.judge,
            rejudge_pairs=again.rejudge_pairs and self.judge,
        )
        self.stages.start_round(replace(built, heldout=moved))

    async def judge(self, shard: Shard, rollouts: Sequence[Rollout], generate: Generate) -> list[Judgment]:
        self.shown.append((shard, list(rollouts)))
        return [judgment for rollout in rollouts for judgment in self.now(rollout)]

    def evaluation_drift(self, prompts: int) -> dict[str, Any] | None:
        return asyncio.run(measure_drift(shards(2).first(prompts), stages=self.stages, in_flight=2))

    def labels_drift(self, prompts: int) -> dict[str, Any] | None:
        return asyncio.run(
            measure_labels_drift(shards(2).first(prompts), config=self.config, stages=self.stages, in_flight=2)
        )


def one_higher(rollout: Rollout) -> list[Judgment]:
    return [judgment(rollout.sample, SCORES[int(rollout.prompt_id)] + 1, prompt=rollout.prompt_id)]


BEFORE = [judgment(sample, score, prompt=str(i)) for i, score in enumerate(SCORES) for sample in (0, 1)]


def test_the_evaluations_judge_and_the_labels_each_judge_again_what_they_judged_in_round_0(tmp_path: Path) -> None:
    """Two responses to each of three prompts, every one a point higher. What the judge is shown is round 0's, as a
    shard of round 0: so it is asked with round 0's seeds."""
    later = Later(tmp_path, changed(base(), judge=ADDITIVE, evaluation__judge=EXPECTED), *BEFORE, now=one_higher)
    moved = {"responses": 6, "spearman": pytest.approx(1.0), "mean_shift": 1.0, **NOTHING_COMPARED}
    assert later.evaluation_drift(3) == moved and later.labels_drift(3) == moved
    texts = [[rollout.text for rollout in rollouts] for _, rollouts in later.shown]
    assert texts == [
        [f"{stage} {prompt}.{sample}" for prompt in prompts for sample in (0, 1)]
        for stage in ("eval", "heldout")
        for prompts in ("01", "2")
    ]
    assert {(shard.round, shard.split) for shard, _ in later.shown} == {(0, "heldout")}


def test_a_panel_drifts_by_what_its_votes_come_to(tmp_path: Path) -> None:
    """Before, two members give 2 and a third one eight fives: the median is 2. Now they give 4 and it gives zeros: the
    median is 4, and the shift 2. The mean of all ten votes would fall, from 4.4 to 0.8."""
    votes = [2.0, 2.0, *[5.0] * 8]
    before = [judgment(0, score, prompt=str(i), vote=n) for i in range(4) for n, score in enumerate(votes)]

    def now(rollout: Rollout) -> list[Judgment]:
        if rollout.sample:
            return []
        return [judgment(0, 4.0 if n < 2 else 0.0, prompt=rollout.prompt_id, vote=n) for n in range(10)]

    panel = changed(PANEL, members={"one": ONCE, "other": ONCE, "liar": changed(ADDITIVE, votes=8)})
    later = Later(tmp_path, changed(base(), evaluation__judge=panel, judge=panel), *before, now=now)
    assert later.evaluation_drift(4) == {"responses": 4, "spearman": None, "mean_shift": 2.0, **NOTHING_COMPARED}


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(changed(base(), judge=EXPECTED), id="the evaluation's judge"),
        pytest.param(
            changed(base(), judge=changed(BY_FUNCTION, function="support.rewards:characters")), id="not the policy"
        ),
        pytest.param(changed(with_phases(one=phase(judge=RATING)), judge=ADDITIVE), id="not round 0's judge"),
        pytest.param(changed(with_phases(one=phase(judge=NO_JUDGE)), judge=ADDITIVE), id="no judge"),
    ],
)
def test_there_is_no_drift_of_labels_where_nobody_said_before_what_the_policy_says_now(
    config: Config, tmp_path: Path
) -> None:
    later = Later(tmp_path, config, *BEFORE, now=one_higher)
    assert later.labels_drift(4) is None and later.shown == []
    assert later.evaluation_drift(4) is not None


def test_the_policys_reward_of_another_policys_responses_is_not_read_off_the_samplers_log_probs() -> None:
    """Log-probs that came with round 0's responses are the initial policy's: by them no judge would ever move. Where a
    scorer holds the policy it is asked; where none does nothing is judged again."""
    scorers: Any = SimpleNamespace(models={}, logps=None)
    spa = changed(base(), evaluation__judge=IMPLICIT)
    assert build_phase(spa, scorers).heldout.rejudge is None
    assert (
        build_phase(changed(spa, evaluation__condition=Condition(system="Be kind.")), scorers).heldout.rejudge
        is not None
    )
