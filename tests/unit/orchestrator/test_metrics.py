"""The summaries of a round: accounting, learning means, diversity, time."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import pytest
from support.rounds import judgment, rollout

from roundelay.orchestrator.data.records import (
    Dropped,
    Judgment,
    Message,
    PairingOutcome,
    PreferencePair,
    Prompt,
    ResponseGroup,
    Rollout,
    Shard,
)
from roundelay.orchestrator.measure.metrics import DistinctN, LearningStats, RoundStats, StageClock


def enter(
    stats: RoundStats,
    shard: Shard,
    rollouts: Sequence[Rollout],
    judgments: Sequence[Judgment],
    outcomes: Sequence[PairingOutcome],
) -> None:
    stats.add(shard, rollouts, judgments)
    stats.count(outcomes)


def made(chosen: Rollout, rejected: Rollout, margin: float | None) -> PairingOutcome:
    pair = PreferencePair(
        prompt=Prompt(id=chosen.prompt_id, messages=(Message(role="user", content="Hi"),)),
        chosen=chosen,
        rejected=rejected,
        margin=margin,
        label_probability=1.0,
        provenance="judge",
    )
    return PairingOutcome(pair=pair, dropped=None)


def grouped(responses: Sequence[Rollout], *scores: float) -> PairingOutcome:
    prompt = Prompt(id=responses[0].prompt_id, messages=(Message(role="user", content="Hi"),))
    group = ResponseGroup(prompt=prompt, responses=tuple(responses), scores=scores)
    return PairingOutcome(pair=None, dropped=None, group=group)


def lost(prompt_id: str, reason: str) -> PairingOutcome:
    return PairingOutcome(pair=None, dropped=Dropped(prompt_id=prompt_id, reason=reason))


# ---------------------------------------------------------------------------------------------------------- round stats


def shard(*prompt_ids: str) -> Shard:
    messages = (Message(role="user", content="?"),)
    prompts = tuple(Prompt(id=prompt_id, messages=messages) for prompt_id in prompt_ids)
    return Shard(round=1, index=0, prompts=prompts, split="train")


def test_a_rounds_summary_adds_up_over_its_shards() -> None:
    """Two shards, four prompts: two pairs (margins 3 and 1; lengths 12 − 4 = 8 and 2 − 6 = −4), a tie, an unscored one.
    Tie rate 1/4, mean margin 2, mean length gap 2, 12 + 4 + 2 + 6 = 24 tokens, one response cut."""
    stats = RoundStats()
    a = [rollout("a", 0, 12), rollout("a", 1, 4, "length")]
    b = [rollout("b", 0, 2), rollout("b", 1, 6)]
    enter(
        stats,
        shard("a", "c"),
        a,
        [judgment(0, 4.0, prompt="a"), judgment(1, 1.0, prompt="a")],
        [made(a[0], a[1], 3.0), lost("c", "tie")],
    )
    enter(stats, shard("d", "b"), b, [], [lost("d", "unscored"), made(b[0], b[1], 1.0)])
    summary = stats.summary()
    judge = summary.pop("judge")
    assert summary == {
        "prompts": 4,
        "rollouts": 4,
        "rollout_tokens": 24,
        "truncated": 1,
        "empty": 4,  # these have no text
        "pairs": 2,
        "groups": 0,
        "equal_groups": 0,
        "dropped": {"tie": 1, "unscored": 1},
        "score_margin": 2.0,
        "length_gap_tokens": 2.0,
        "prefers_longer": None,
        "limits": {},
        "remarks": {},
        "duplicates": 1.0,
    }
    assert (judge["votes"], judge["tie_rate"]) == (2, 0.25)


def test_groups_are_counted_and_those_that_teach_nothing_apart() -> None:
    """Five prompts: one ranked, two of two responses scored alike, a single response (whose score a critic may still
    tell from its value), one dropped as a tie. Ties are what teaches nothing: (2 + 1)/5."""
    stats = RoundStats()
    two = {name: [rollout(name, 0, 3), rollout(name, 1, 4)] for name in "abcde"}
    judged = [judgment(0, 1.0, prompt="a"), judgment(1, -2.0, prompt="a")]
    enter(
        stats,
        shard("a", "b", "c"),
        [*two["a"], *two["b"], *two["c"]],
        judged,
        [grouped(two["a"], 1.0, -2.0), grouped(two["b"], 3.0, 3.0), grouped(two["c"], -1.0, -1.0)],
    )
    enter(stats, shard("d", "e"), [*two["d"], *two["e"]], [], [grouped(two["d"][:1], 0.5), lost("e", "tie")])
    summary = stats.summary()
    assert summary.pop("judge")["tie_rate"] == 0.6
    assert summary == {
        "prompts": 5,
        "rollouts": 10,
        "rollout_tokens": 35,
        "truncated": 0,
        "empty": 10,  # these have no text
        "pairs": 0,
        "groups": 4,
        "equal_groups": 2,
        "dropped": {"tie": 1},
        "score_margin": None,
        "length_gap_tokens": None,
        "prefers_longer": None,
        "limits": {},
        "remarks": {},
        "duplicates": 1.0,
    }


def test_pairs_without_scores_have_no_margin_and_no_judge() -> None:
    stats = RoundStats()
    enter(stats, shard("a"), [], [], [made(rollout("a", 0, 3), rollout("a", 1, 1), None)])
    summary = stats.summary()
    assert (summary["score_margin"], summary["length_gap_tokens"], summary["judge"]) == (None, 2.0, {})


def test_a_longer_chosen_response_counts_where_the_lengths_differ_by_more_than_thirty_characters() -> None:
    """100 over 60 and 91 over 60 characters are longer, 60 over 100 is shorter; 90 over 60 (thirty) counts for nothing:
    2 of 3. Sixty b's are said to three prompts: 3 of 8 responses."""
    stats = RoundStats()
    for number, (chosen, rejected) in enumerate([(100, 60), (91, 60), (60, 100), (90, 60)]):
        name = str(number)
        two = rollout(name, 0, 1, text="a" * chosen), rollout(name, 1, 1, text="b" * rejected)
        enter(stats, shard(name), two, [], [made(*two, 1.0)])
    assert stats.summary()["prefers_longer"] == 2 / 3
    assert stats.summary()["duplicates"] == 3 / 8


def test_why_generation_went_no_further_is_counted_beside_the_drops() -> None:
    """Also for prompts that gave a pair: a proposal left out is no drop."""
    texts = [replace(rollout("a", number, 2), remark=remark) for number, remark in enumerate(["empty", "", "empty"])]
    stats = RoundStats()
    enter(stats, shard("a"), texts, [], [made(rollout("a", 3, 3), rollout("a", 4, 1), None)])
    assert (stats.summary()["remarks"], stats.summary()["dropped"]) == ({"empty": 2}, {})


def test_an_account_that_does_not_add_up_is_refused() -> None:
    """A prompt of the shard that pairing says nothing of is noticed."""
    stats = RoundStats()
    enter(stats, shard("a", "b"), [], [], [lost("a", "tie"), lost("b", "tie")])
    assert stats.summary()["dropped"] == {"tie": 2}
    enter(stats, shard("c", "d"), [], [], [lost("c", "tie")])
    with pytest.raises(AssertionError, match="unaccounted"):
        stats.summary()


# ------------------------------------------------------------------------------------ learning, diversity and the clock


def test_learning_metrics_are_weighted_by_the_pairs_of_each_step() -> None:
    """Steps of 3, 3 and 1 pairs with losses 1, 2 and 9: (3 + 6 + 9)/7 = 18/7, where the unweighted mean would be 4."""
    stats = LearningStats()
    for step, (pairs, loss) in enumerate([(3, 1.0), (3, 2.0), (1, 9.0)]):
        stats.add({"step": step, "pairs": pairs, "loss": loss, "grad_norm": 2.0})
    summary = stats.summary()
    assert summary.pop("loss") == pytest.approx(18 / 7)
    assert summary == {"grad_norm": 2.0, "steps": 3, "pairs_trained": 7}


def test_a_metric_that_a_step_lacks_is_a_mean_over_the_steps_that_have_it() -> None:
    """KTO's reward of desirable responses in steps of 2 and 6 examples, with a step of 4 undesirable ones between:
    (2·1 + 6·3)/8 = 2.5. Counting the step in between as a zero would give 20/12, dropping its loss as well 2.25."""
    stats = LearningStats()
    stats.add({"step": 1, "pairs": 2, "loss": 1.0, "rewards/chosen": 1.0})
    stats.add({"step": 2, "pairs": 4, "loss": 4.0})
    stats.add({"step": 3, "pairs": 6, "loss": 2.0, "rewards/chosen": 3.0})
    assert stats.summary() == {
        "loss": pytest.approx((2 + 16 + 12) / 12),
        "rewards/chosen": pytest.approx(2.5),
        "steps": 3,
        "pairs_trained": 12,
    }


def test_a_round_without_steps_has_counts_only() -> None:
    assert LearningStats().summary() == {"steps": 0, "pairs_trained": 0}


def test_distinct_n_is_the_share_of_different_n_grams_within_responses() -> None:
    """(1,2,1,2) and (1,2): unigrams 1,2,1,2,1,2, two of six differ. Bigrams 12,21,12 and 12, two of four differ; none
    spans two responses (21 would come once more)."""
    distinct = [DistinctN(1), DistinctN(2), DistinctN(3)]
    for counter in distinct:
        counter.add([1, 2, 1, 2])
        counter.add([1, 2])
    assert [counter.value for counter in distinct] == [pytest.approx(2 / 6), 0.5, 1.0]


def test_distinct_n_of_responses_shorter_than_n_is_undefined() -> None:
    counter = DistinctN(3)
    counter.add([1, 2])
    counter.add([])
    assert counter.value is None


def test_the_clock_counts_overlapping_shards_of_a_stage_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two shards are judged from 0 to 4 and from 3 to 10 s, one more from 20 to 21 s: 10 + 1 = 11 s in the stage, not
    4 + 7 + 1. Another stage, from 3 to 4 s, has a clock of its own."""
    now = SimpleNamespace(value=0.0)
    monkeypatch.setattr("roundelay.orchestrator.measure.metrics.time", SimpleNamespace(monotonic=lambda: now.value))
    clock = StageClock()
    first, second, third, other = (clock.active(stage) for stage in ("judge", "judge", "judge", "pair"))
    for time, step in [
        (0.0, first.__enter__),
        (3.0, second.__enter__),
        (3.0, other.__enter__),
        (4.0, lambda: other.__exit__(None, None, None)),
        (4.0, lambda: first.__exit__(None, None, None)),
        (10.0, lambda: second.__exit__(None, None, None)),
        (20.0, third.__enter__),
        (21.0, lambda: third.__exit__(None, None, None)),
    ]:
        now.value = time
        step()
    assert clock.seconds == {"judge": 11.0, "pair": 1.0}


def test_the_clock_stops_when_a_stage_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    now = SimpleNamespace(value=1.0)
    monkeypatch.setattr("roundelay.orchestrator.measure.metrics.time", SimpleNamespace(monotonic=lambda: now.value))
    clock = StageClock()
    with pytest.raises(RuntimeError), clock.active("judge"):
        now.value = 3.5
        raise RuntimeError
    now.value = 100.0
    assert clock.seconds == {"judge": 2.5}
