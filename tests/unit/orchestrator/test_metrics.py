"""The summaries of a round: correlations, judge health, accounting, learning means, diversity, time."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from roundelay.orchestrator.metrics import (
    Correlation,
    DistinctN,
    JudgeHealth,
    LearningStats,
    Mean,
    RoundStats,
    StageClock,
)
from roundelay.orchestrator.records import (
    Dropped,
    FinishReason,
    Judgment,
    JudgmentStatus,
    Message,
    PairingOutcome,
    PreferencePair,
    Prompt,
    ResponseGroup,
    Rollout,
    Shard,
)


def rollout(prompt_id: str, sample: int, num_tokens: int, finish: FinishReason = "stop") -> Rollout:
    return Rollout(
        prompt_id=prompt_id,
        sample=sample,
        variant="plain",
        prompt_token_ids=(1, 2, 3),
        sampler_token_ids=(1, 2, 3),
        token_ids=(5,) * num_tokens,
        logprobs=(-1.0,) * num_tokens,
        text="",
        finish_reason=finish,
        policy_version=0,
        seed=0,
    )


def judgment(
    sample: int, score: float | None, *, status: JudgmentStatus = "parsed", mass: float | None = None, prompt: str = "p"
) -> Judgment:
    return Judgment(prompt_id=prompt, sample=sample, vote=0, status=status, score=score, choice_mass=mass, text="")


def comparison(first: int, probability: float | None, *, prompt: str = "p") -> Judgment:
    """One question on samples 0 and 1 that showed `first` as (A): P(sample 0 is better)."""
    return Judgment(
        prompt_id=prompt,
        sample=0,
        other=1,
        vote=first,
        status="unparsable" if probability is None else "parsed",
        score=None,
        probability=probability,
        choice_mass=0.5,
        text="",
    )


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


# ------------------------------------------------------------------------------------------------- correlation and mean


def correlation(points: Sequence[tuple[float, float]]) -> float | None:
    running = Correlation()
    for x, y in points:
        running.add(x, y)
    return running.value


COORDINATES = st.integers(-1000, 1000).map(lambda value: value / 8)


@settings(deadline=None)
@given(
    points=st.lists(st.tuples(COORDINATES, COORDINATES), min_size=2, max_size=40), offset=st.sampled_from([0.0, 1e6])
)
def test_the_running_correlation_is_numpys(points: list[tuple[float, float]], offset: float) -> None:
    """Also far from the origin, where sums of squares would lose all digits."""
    x, y = (np.array(side) + offset for side in zip(*points, strict=True))
    assume(x.std() > 0 and y.std() > 0)
    assert correlation(list(zip(x, y, strict=True))) == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-6)


@pytest.mark.parametrize("points", [[], [(1.0, 2.0)], [(0.1, 1.0), (0.1, 2.0), (0.1, 3.0)], [(1.0, 0.3), (2.0, 0.3)]])
def test_a_correlation_of_nothing_or_with_a_constant_is_undefined(points: list[tuple[float, float]]) -> None:
    assert correlation(points) is None


def test_a_line_correlates_fully_in_its_direction() -> None:
    assert correlation([(1, 2), (2, 4), (3, 6)]) == pytest.approx(1)
    assert correlation([(1, 6), (2, 4), (3, 2)]) == pytest.approx(-1)


def test_the_mean_of_nothing_is_undefined_and_not_zero() -> None:
    mean = Mean()
    assert mean.value is None
    for value in (1.0, 2.0, 6.0):
        mean.add(value)
    assert mean.value == 3.0


# --------------------------------------------------------------------------------------------------------- judge health


def test_judge_health_counts_failures_apart_from_scores() -> None:
    """Four votes, two parsed (scores 1 and 4): parse rate 1/2, mean 2.5, deviation 1.5 (both are 1.5 off it); failures
    enter no mean and no histogram. Scores 1, 4 go with lengths 10, 40: correlation 1. The masses .2 and .4 have the
    mean .3. Nothing was compared."""
    health = JudgeHealth()
    health.add(
        [rollout("p", sample, num_tokens) for sample, num_tokens in enumerate((10, 99, 40, 7))],
        [
            judgment(0, 1.0, mass=0.2),
            judgment(1, None, status="unparsable"),
            judgment(2, 4.0, mass=0.4),
            judgment(3, None, status="truncated"),
        ],
    )
    summary = health.summary()
    assert summary.pop("choice_mass") == pytest.approx(0.3)
    assert summary.pop("score_length_correlation") == pytest.approx(1.0)
    assert summary == {
        "votes": 4,
        "parse_rate": 0.5,
        "truncated": 1,
        "unparsable": 1,
        "score_mean": 2.5,
        "score_std": 1.5,
        "score_histogram": [0, 1, 0, 0, 1, 0],
        "swap_consistency": None,
        "prefers_first": None,
        "agreement_rate": None,
    }


def test_the_agreement_rate_is_over_the_validations_that_were_parsed() -> None:
    """Yes, no, yes, and one that has no answer: 2/3."""
    health = JudgeHealth()
    said = [replace(judgment(index, 0.5), agrees=agrees) for index, agrees in enumerate((True, False, True))]
    health.add([rollout("p", index, 3) for index in range(4)], [*said, judgment(3, None, status="unparsable")])
    assert health.summary()["agreement_rate"] == pytest.approx(2 / 3)


def test_the_histogram_has_a_bin_a_point_and_full_marks_in_the_last() -> None:
    """[0,1) [1,2) [2,3) [3,4) [4,5) [5,∞)"""
    health = JudgeHealth()
    scores = [0.0, 0.99, 1.0, 2.5, 3.999, 4.0, 4.5, 5.0]
    health.add([rollout("p", i, 1) for i in range(len(scores))], [judgment(i, s) for i, s in enumerate(scores)])
    assert health.summary()["score_histogram"] == [2, 1, 1, 1, 2, 1]


def test_a_judge_that_parses_nothing_has_no_score_and_a_parse_rate_of_zero() -> None:
    health = JudgeHealth()
    health.add([rollout("p", 0, 3)], [judgment(0, None, status="unparsable")])
    summary = health.summary()
    assert (summary["parse_rate"], summary["score_mean"], summary["choice_mass"]) == (0.0, None, None)
    assert (summary["score_std"], summary["score_histogram"]) == (None, [0] * 6)


@pytest.mark.parametrize("odd", [-0.25, 6.0, 1e9, -1e9])
def test_scores_that_are_off_the_scale_have_no_histogram(odd: float) -> None:
    """A reward of −0.25 would stand among the zeros, one of 6 nowhere. Mean and deviation hold for any scale: of 1 and
    x they are (1 + x)/2 and |1 − x|/2. A later shard on the scale changes nothing of that."""
    health = JudgeHealth()
    health.add([rollout("p", 0, 3), rollout("p", 1, 4)], [judgment(0, 1.0), judgment(1, odd)])
    summary = health.summary()
    assert summary["score_histogram"] is None
    assert summary["score_mean"] == (1 + odd) / 2
    assert summary["score_std"] == pytest.approx(abs(1 - odd) / 2)
    health.add([rollout("q", 0, 3)], [judgment(0, 1.0, prompt="q")])
    assert health.summary()["score_histogram"] is None


def test_a_judge_that_compares_is_consistent_where_both_orders_prefer_the_same_response() -> None:
    """a: sample 0 both times; b: sample 1 both times; c: whichever is first; d: even once, which prefers nothing:
    2 of 4 are consistent."""
    health = JudgeHealth()
    for prompt_id, (first, second) in {"a": (0.9, 0.6), "b": (0.4, 0.1), "c": (0.8, 0.3), "d": (0.5, 0.9)}.items():
        health.add([], [comparison(0, first, prompt=prompt_id), comparison(1, second, prompt=prompt_id)])
    summary = health.summary()
    assert summary["swap_consistency"] == 0.5
    assert (summary["votes"], summary["parse_rate"], summary["choice_mass"]) == (8, 1.0, 0.5)
    assert (summary["score_mean"], summary["score_length_correlation"]) == (None, None)


def test_what_was_not_asked_or_not_answered_both_ways_is_neither_consistent_nor_not() -> None:
    """One question a prompt, or two of which one has no answer."""
    health = JudgeHealth()
    health.add([], [comparison(0, 0.9, prompt="a"), comparison(1, 0.9, prompt="b")])
    health.add([], [comparison(0, 0.9, prompt="c"), comparison(1, None, prompt="c")])
    summary = health.summary()
    assert summary["swap_consistency"] is None
    assert (summary["votes"], summary["unparsable"], summary["parse_rate"]) == (4, 1, 0.75)
    health.add([], [comparison(1, 0.2, prompt="d"), comparison(0, 0.1, prompt="d")])
    assert health.summary()["swap_consistency"] == 1.0


def test_how_much_a_judge_prefers_what_it_is_shown_first_is_a_mean_over_questions() -> None:
    """P(sample 0) = .75 with sample 0 as (A) is .75 for the first; .5 with sample 1 as (A) is .5 for it, .25 is .75.
    Mean of .75, .5 and .75: 2/3. A judge that sees the place alone has p for any text, in both orders."""
    health = JudgeHealth()
    health.add([], [comparison(0, 0.75, prompt="a"), comparison(1, 0.5, prompt="a"), comparison(1, 0.25, prompt="b")])
    assert health.summary()["prefers_first"] == pytest.approx(2 / 3)
    by_place = JudgeHealth()
    by_place.add([], [comparison(0, 0.8), comparison(1, 1 - 0.8)])
    assert by_place.summary()["prefers_first"] == pytest.approx(0.8)
    assert by_place.summary()["swap_consistency"] == 0.0
    fair = JudgeHealth()
    fair.add([], [comparison(0, 0.9), comparison(1, 0.9)])
    assert fair.summary()["prefers_first"] == pytest.approx(0.5)


def test_without_a_judge_there_is_no_judge_health() -> None:
    health = JudgeHealth()
    health.add([rollout("p", 0, 3)], [])
    assert health.summary() == {}


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
    stats.add(shard("a", "c"), a, [judgment(0, 4.0, prompt="a"), judgment(1, 1.0, prompt="a")])
    stats.count([made(a[0], a[1], 3.0), lost("c", "tie")])
    stats.add(shard("d", "b"), b, [])
    stats.count([lost("d", "unscored"), made(b[0], b[1], 1.0)])
    summary = stats.summary()
    judge = summary.pop("judge")
    assert summary == {
        "prompts": 4,
        "rollouts": 4,
        "rollout_tokens": 24,
        "truncated": 1,
        "pairs": 2,
        "groups": 0,
        "equal_groups": 0,
        "dropped": {"tie": 1, "unscored": 1},
        "limits": {},
        "remarks": {},
        "score_margin": 2.0,
        "length_gap_tokens": 2.0,
    }
    assert (judge["votes"], judge["tie_rate"]) == (2, 0.25)


def test_groups_are_counted_and_those_that_teach_nothing_apart() -> None:
    """Five prompts: one ranked, two of two responses scored alike, a single response (whose score a critic may still
    tell from its value), one dropped as a tie. Ties are what teaches nothing: (2 + 1)/5."""
    stats = RoundStats()
    two = {name: [rollout(name, 0, 3), rollout(name, 1, 4)] for name in "abcde"}
    judged = [judgment(0, 1.0, prompt="a"), judgment(1, -2.0, prompt="a")]
    stats.add(shard("a", "b", "c"), [*two["a"], *two["b"], *two["c"]], judged)
    stats.count([grouped(two["a"], 1.0, -2.0), grouped(two["b"], 3.0, 3.0), grouped(two["c"], -1.0, -1.0)])
    stats.add(shard("d", "e"), [*two["d"], *two["e"]], [])
    stats.count([grouped(two["d"][:1], 0.5), lost("e", "tie")])
    summary = stats.summary()
    assert summary.pop("judge")["tie_rate"] == 0.6
    assert summary == {
        "prompts": 5,
        "rollouts": 10,
        "rollout_tokens": 35,
        "truncated": 0,
        "pairs": 0,
        "groups": 4,
        "equal_groups": 2,
        "dropped": {"tie": 1},
        "limits": {},
        "remarks": {},
        "score_margin": None,
        "length_gap_tokens": None,
    }


def test_pairs_without_scores_have_no_margin_and_no_judge() -> None:
    stats = RoundStats()
    stats.add(shard("a"), [], [])
    stats.count([made(rollout("a", 0, 3), rollout("a", 1, 1), None)])
    summary = stats.summary()
    assert (summary["score_margin"], summary["length_gap_tokens"], summary["judge"]) == (None, 2.0, {})


def test_why_generation_went_no_further_is_counted_beside_the_drops() -> None:
    """Also for prompts that gave a pair: a proposal left out is no drop."""
    texts = [replace(rollout("a", number, 2), remark=remark) for number, remark in enumerate(["empty", "", "empty"])]
    stats = RoundStats()
    stats.add(shard("a"), texts, [])
    stats.count([made(rollout("a", 3, 3), rollout("a", 4, 1), None)])
    assert (stats.summary()["remarks"], stats.summary()["dropped"]) == ({"empty": 2}, {})


def test_an_account_that_does_not_add_up_is_refused() -> None:
    """A prompt of the shard that pairing says nothing of is noticed."""
    stats = RoundStats()
    stats.add(shard("a", "b"), [], [])
    stats.count([lost("a", "tie"), lost("b", "tie")])
    assert stats.summary()["dropped"] == {"tie": 2}
    stats.add(shard("c", "d"), [], [])
    stats.count([lost("c", "tie")])
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
    monkeypatch.setattr("roundelay.orchestrator.metrics.time", SimpleNamespace(monotonic=lambda: now.value))
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
    monkeypatch.setattr("roundelay.orchestrator.metrics.time", SimpleNamespace(monotonic=lambda: now.value))
    clock = StageClock()
    with pytest.raises(RuntimeError), clock.active("judge"):
        now.value = 3.5
        raise RuntimeError
    now.value = 100.0
    assert clock.seconds == {"judge": 2.5}
