"""What a judge's answers say of it."""

from dataclasses import replace

import pytest
from support.configs import (
    AB,
    ADDITIVE,
    BY_FUNCTION,
    BY_REWARD_MODEL,
    CHECKLIST,
    CRITIQUE,
    ENDPOINT,
    EXPECTED,
    IMPLICIT,
    PANEL,
    RATING,
    VALIDATOR,
)
from support.rounds import comparison, judgment, rollout

from roundelay.orchestrator.measure.judge_health import JudgeHealth
from roundelay.orchestrator.parts.judge import JudgePart
from roundelay.orchestrator.protocols import Reading
from roundelay.recipes.evaluation.win_rate import swap_consistency

ZERO_TO_FIVE = Reading(points=(0.0, 1.0, 2.0, 3.0, 4.0, 5.0))


def zero_to_five() -> JudgeHealth:
    return JudgeHealth(reading=ZERO_TO_FIVE)


def test_judge_health_counts_failures_apart_from_scores() -> None:
    """Four votes, two parsed (scores 1 and 4): parse rate 1/2, mean 2.5, deviation 1.5 (both are 1.5 off it); failures
    enter no mean and no histogram. Scores 1, 4 go with lengths 10, 40: correlation 1. The masses .2 and .4 have the
    mean .3. Nothing was compared."""
    health = zero_to_five()
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
        "score_points": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
        "score_histogram": [0, 1, 0, 0, 1, 0],
        "score_concentration": 0.5,
        "score_length_partial": None,
        "score_likelihood_correlation": None,
        "swap_consistency": None,
        "prefers_first": None,
        "even_comparisons": None,
        "agreement_rate": None,
    }


def test_the_histogram_has_a_bin_a_point_and_full_marks_in_the_last() -> None:
    """[0,1) [1,2) [2,3) [3,4) [4,5) {5}"""
    health = zero_to_five()
    scores = [0.0, 0.99, 1.0, 2.5, 3.999, 4.0, 4.5, 5.0]
    health.add([rollout("p", i, 1) for i in range(len(scores))], [judgment(i, s) for i, s in enumerate(scores)])
    assert health.summary()["score_histogram"] == [2, 1, 1, 1, 2, 1]


SCALES: list[tuple[JudgePart, list[float]]] = [
    (EXPECTED, [0, 1]),
    (replace(EXPECTED, scores=("10", "0", "5")), [0, 5, 10]),
    (ADDITIVE, [0, 1, 2, 3, 4, 5]),
    (RATING, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    (CRITIQUE, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    (ENDPOINT, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    (CHECKLIST, [-8, -6, -4, -2, 0, 2, 4, 6, 8, 10]),
    (PANEL, [0, 1]),
]


@pytest.mark.parametrize(("judge", "points"), SCALES, ids=[judge.kind for judge, _ in SCALES])
def test_every_score_of_a_judges_own_scale_is_in_a_bin(judge: JudgePart, points: list[float]) -> None:
    """One score on every point, and twice the lowest: 2 1 1 … 1."""
    health = JudgeHealth(reading=Reading(points=judge.score_points()))
    scores = [*points, points[0]]
    health.add([rollout("p", i, 1) for i in range(len(scores))], [judgment(i, s) for i, s in enumerate(scores)])
    summary = health.summary()
    assert summary["score_points"] == points
    assert summary["score_histogram"] == [2, *[1] * (len(points) - 1)]
    assert summary["score_concentration"] == 2 / len(scores)


@pytest.mark.parametrize(
    "judge",
    [BY_REWARD_MODEL, BY_FUNCTION, IMPLICIT, VALIDATOR, AB, replace(PANEL, aggregate="majority"),
     replace(PANEL, members={"one": EXPECTED, "other": BY_FUNCTION})],
)  # fmt: skip
def test_a_judge_whose_scores_have_no_points_has_no_histogram(judge: JudgePart) -> None:
    """Mean and deviation hold for any scale: of 1 and −7 they are −3 and 4."""
    health = JudgeHealth(reading=Reading(points=judge.score_points()))
    health.add([rollout("p", 0, 3), rollout("p", 1, 4)], [judgment(0, 1.0), judgment(1, -7.0)])
    summary = health.summary()
    assert (summary["score_points"], summary["score_histogram"], summary["score_concentration"]) == (None, None, None)
    assert (summary["score_mean"], summary["score_std"]) == (-3.0, pytest.approx(4.0))


def test_a_judge_that_parses_nothing_has_no_score_and_a_parse_rate_of_zero() -> None:
    health = zero_to_five()
    health.add([rollout("p", 0, 3)], [judgment(0, None, status="unparsable")])
    summary = health.summary()
    assert (summary["parse_rate"], summary["score_mean"], summary["choice_mass"]) == (0.0, None, None)
    assert (summary["score_std"], summary["score_histogram"]) == (None, None)


def test_a_judge_that_compares_is_consistent_where_both_orders_prefer_the_same_response() -> None:
    """a: sample 0 both times; b: sample 1 both times; c: whichever is first; d: even once, which prefers nothing; e:
    even both times, the same verdict after the swap as before: 3 of 5 are consistent."""
    health = JudgeHealth()
    orders = {"a": (0.9, 0.6), "b": (0.4, 0.1), "c": (0.8, 0.3), "d": (0.5, 0.9), "e": (0.5, 0.5)}
    for prompt_id, (first, second) in orders.items():
        health.add([], [comparison(0, first, prompt=prompt_id), comparison(1, second, prompt=prompt_id)])
    summary = health.summary()
    assert summary["swap_consistency"] == 3 / 5 == swap_consistency([*orders.values()]), "as `compare` counts it"
    assert (summary["votes"], summary["parse_rate"], summary["choice_mass"]) == (10, 1.0, 0.5)
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


def test_what_length_and_score_share_with_the_likelihood_is_taken_out() -> None:
    """With a = (−1, −1, 1, 1), b = (−1, 1, −1, 1) and c = (1, −1, −1, 1), which are orthogonal: scores 3 + a + b,
    lengths 20 + 5(a + c), log-probs −2 + a. Score and length correlate by 4/8 = ½, each with the likelihood by
    4/√32 = 1/√2: beyond it nothing is left, (½ − ½)/(½) = 0."""
    health = JudgeHealth()
    lengths, logprobs, scores = (20, 10, 20, 30), (-3.0, -3.0, -1.0, -1.0), (1.0, 3.0, 3.0, 5.0)
    responses = [
        rollout("p", sample, tokens, logprob=logprob)
        for sample, (tokens, logprob) in enumerate(zip(lengths, logprobs, strict=True))
    ]
    health.add(responses, [judgment(sample, score) for sample, score in enumerate(scores)])
    summary = health.summary()
    assert summary["score_length_correlation"] == pytest.approx(0.5)
    assert summary["score_likelihood_correlation"] == pytest.approx(2**-0.5)
    assert summary["score_length_partial"] == pytest.approx(0.0, abs=1e-12)


def test_given_responses_have_a_length_but_no_likelihood() -> None:
    """Two points of three are left for what the likelihood explains: too few. Lengths 1, 2, 4 with scores 1, 2, 4 still
    correlate fully."""
    health = JudgeHealth()
    responses = [rollout("p", 0, 1, logprob=-1.0), rollout("p", 1, 2, logprob=-2.0), rollout("p", 2, 4, logprob=None)]
    health.add(responses, [judgment(0, 1.0), judgment(1, 2.0), judgment(2, 4.0)])
    summary = health.summary()
    assert summary["score_length_correlation"] == pytest.approx(1.0)
    assert summary["score_length_partial"] is None


def test_how_far_scores_are_one_and_the_same_is_the_share_of_the_fullest_bin() -> None:
    """Five of eight scores lie in [4, 5), as Meta-Rewarding saw judges become."""
    health = zero_to_five()
    scores = [0.0, 2.0, 4.0, 4.1, 4.2, 4.5, 4.9, 5.0]
    health.add([rollout("p", i, 1) for i in range(8)], [judgment(i, score) for i, score in enumerate(scores)])
    assert health.summary()["score_concentration"] == 5 / 8


def test_comparisons_that_prefer_neither_are_counted() -> None:
    """One of four questions is even; one without an answer is no question."""
    health = JudgeHealth()
    for prompt_id, probability in {"a": 0.5, "b": 0.9, "c": 0.1, "d": 0.4, "e": None}.items():
        health.add([], [comparison(0, probability, prompt=prompt_id)])
    assert health.summary()["even_comparisons"] == 0.25


def test_every_two_responses_to_a_prompt_are_compared_apart() -> None:
    """Samples 0 and 1 both times 0; samples 1 and 2 whichever is first (P(1 is better) = .9 with 1 first, then .2 with
    2 first). One of two is consistent; the mean of .9, .1, .9, .8 goes to the first."""
    health = JudgeHealth()
    zero_or_one = [comparison(0, 0.9), comparison(1, 0.9)]
    one_or_two = [replace(comparison(vote, p), sample=1, other=2) for vote, p in ((0, 0.9), (1, 0.2))]
    health.add([], [*zero_or_one, *one_or_two])
    summary = health.summary()
    assert summary["swap_consistency"] == 0.5
    assert summary["prefers_first"] == pytest.approx((0.9 + 0.1 + 0.9 + 0.8) / 4)
