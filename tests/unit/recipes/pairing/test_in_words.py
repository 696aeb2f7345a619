"""What verdicts and critiques in words make of responses: pairs of consistent verdicts, and critiqued responses."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.judging import prompt, rollout

from roundelay.orchestrator.data.records import Judgment, PairingOutcome, ResponseGroup, Rollout
from roundelay.recipes.pairing.consistent import consistent_preference, pair_consistent
from roundelay.recipes.pairing.critiqued import pair_critiqued

PROMPT = prompt("p", "Hi")
TOLD = (1, 5, 6)  # the prompt's token ids with a judgment in it; `rollout` has (1,) without


def verdict(vote: int, probability: float | None, *, sample: int = 0, other: int = 1) -> Judgment:
    status = "unparsable" if probability is None else "parsed"
    return Judgment(
        prompt_id="p", sample=sample, other=other, vote=vote, status=status, score=None, probability=probability,
        choice_mass=None, text="",
    )  # fmt: skip


def verdicts(*probabilities: float | None) -> list[Judgment]:
    """Of one vote after the other, sample 0 shown first in even ones."""
    return [verdict(vote, probability) for vote, probability in enumerate(probabilities)]


def two(first: str = "one", second: str = "other") -> list[Rollout]:
    return [rollout("p", 0, first), rollout("p", 1, second)]


def consistent(
    judgments: Sequence[Judgment], rollouts: Sequence[Rollout] | None = None, drop_truncated: bool = False
) -> PairingOutcome:
    return pair_consistent(PROMPT, rollouts or two(), judgments, drop_truncated=drop_truncated)


def reason(outcome: PairingOutcome) -> str | None:
    assert (outcome.pair is None) and (outcome.group is None) and outcome.dropped is not None
    return outcome.dropped.reason


# -------------------------------------------------------------------------------------------------- consistent verdicts


@pytest.mark.parametrize(
    ("probabilities", "preference"),
    [
        ((1.0, 1.0), 1.0),
        ((0.0, 0.0), 0.0),
        ((1.0, 0.0), 0.5),  # contradictory
        ((1.0, 0.5), 0.5),  # a win and a tie do not agree either
        ((0.5, 0.5), 0.5),
        ((1.0, 0.75), 0.875),  # grades are kept: (1 + 3/4)/2
        ((0.75, 0.0), 0.5),  # the mean would be 3/8
        ((None, 1.0), None),
        ((1.0, None), None),
        ((), None),
        ((1.0, None, 0.5, 1.0), 0.875),  # sample 0 first: (1 + 1/2)/2 = 3/4; sample 1 first: 1
        ((1.0, 0.0, 1.0, 1.0, 0.0, 1.0), 2 / 3),  # both orders 2/3
        ((1.0, 0.0, 1.0, 0.0, 1.0, 1.0), 0.5),  # 1 against 1/3
    ],
)
def test_orders_that_do_not_agree_are_a_tie(probabilities: tuple[float | None, ...], preference: float | None) -> None:
    assert consistent_preference(verdicts(*probabilities)) == pytest.approx(preference, abs=1e-6)


def test_a_preference_is_for_the_first_sampled_however_the_judgment_names_the_two() -> None:
    """P(1 over 0) = 0 with 1 shown first is P(0 over 1) = 1 with 1 shown first."""
    turned = [verdict(0, 1.0), verdict(0, 0.0, sample=1, other=0)]
    assert consistent_preference(turned) == consistent_preference(verdicts(1.0, 1.0)) == 1.0
    assert consistent_preference([verdict(0, 1.0), verdict(1, 0.0, sample=1, other=0)]) is None  # sample 0 first twice


@pytest.mark.parametrize(("probability", "chosen"), [(1.0, 0), (0.75, 0), (0.25, 1), (0.0, 1)])
def test_what_both_orders_prefer_is_chosen_with_a_hard_label(probability: float, chosen: int) -> None:
    pair = consistent(verdicts(probability, probability)).pair
    assert pair is not None
    assert (pair.chosen.sample, pair.rejected.sample) == (chosen, 1 - chosen)
    assert (pair.label_probability, pair.margin, pair.provenance) == (1.0, None, "judge")


def test_why_two_responses_make_no_pair() -> None:
    """The first reason that holds, in the documented order."""
    cut = replace(two()[0], finish_reason="length")
    blank = rollout("p", 1, " ")
    assert reason(consistent([], [cut, blank], drop_truncated=True)) == "truncated"
    assert reason(consistent([], [cut, blank])) == "empty"
    assert reason(consistent(verdicts(None, 1.0), two("a", "a"))) == "unscored"
    assert reason(consistent(verdicts(1.0, 0.0), two("a", "a"))) == "contradictory"
    assert reason(consistent(verdicts(1.0, 0.5), two("a", "a"))) == "tie"
    assert reason(consistent(verdicts(0.5, 0.5))) == "tie"
    assert reason(consistent(verdicts(1.0, 1.0), two("a", " a "))) == "identical"


GRADES = st.sampled_from([None, 0.0, 0.25, 0.5, 0.75, 1.0])


@given(probabilities=st.lists(GRADES, max_size=8))
def test_a_pair_is_made_only_where_both_orders_have_a_side_and_the_same(probabilities: list[float | None]) -> None:
    outcome = consistent(verdicts(*probabilities))
    orders = [[p for p in probabilities[start::2] if p is not None] for start in (0, 1)]
    sides = [(sum(found) / len(found) > 0.5) - (sum(found) / len(found) < 0.5) for found in orders if found]
    if outcome.pair is None:
        assert len(sides) < 2 or sides[0] * sides[1] <= 0
    else:
        assert sides in ([1, 1], [-1, -1]) and (outcome.pair.chosen.sample == 0) == (sides[0] == 1)


# -------------------------------------------------------------------------------------------------- critiqued responses


def critique(sample: int, score: float | None, *, told: bool = True) -> Judgment:
    status = "unparsable" if score is None else "parsed"
    return Judgment(
        prompt_id="p", sample=sample, vote=0, status=status, score=score, choice_mass=None, text="",
        critiqued_prompt_token_ids=TOLD if told and score is not None else (),
    )  # fmt: skip


def critiqued(
    rollouts: Sequence[Rollout], judgments: Sequence[Judgment], *, keep_good: float = 1.0, max_tokens: int = 100,
    seed: int = 0, drop_truncated: bool = False,
) -> PairingOutcome:  # fmt: skip
    return pair_critiqued(
        PROMPT, rollouts, judgments, good_score=7.0, keep_good=keep_good, max_tokens=max_tokens, seed=seed,
        drop_truncated=drop_truncated,
    )  # fmt: skip


def group(outcome: PairingOutcome) -> ResponseGroup:
    assert outcome.pair is None and outcome.dropped is None and outcome.group is not None
    return outcome.group


def test_a_response_comes_with_the_prompt_that_tells_its_judgment_or_is_good_as_it_is() -> None:
    """Under 7 with words: told. At 7, over it, or without a word: the plain prompt. Best first."""
    rollouts = [rollout("p", sample, f"r{sample}") for sample in range(4)]
    judgments = [critique(0, 2.0), critique(1, 7.0), critique(2, 6.5, told=False), critique(3, 6.9)]
    found = group(critiqued(rollouts, judgments))
    assert [(r.sample, score) for r, score in zip(found.responses, found.scores, strict=True)] == [
        (1, 7.0), (3, 6.9), (2, 6.5), (0, 2.0),
    ]  # fmt: skip
    assert found.critiqued_prompt_token_ids == ((1,), TOLD, (1,), TOLD)


def test_good_responses_are_thinned_out_by_lots_and_bad_ones_never() -> None:
    """A quarter of 400, about 100; the draws of a seed are the same in any order, and another seed's are others."""
    rollouts = [rollout("p", sample, f"r{sample}") for sample in range(400)]
    judgments = [critique(sample, 9.0 if sample else 1.0) for sample in range(400)]
    kept = [r.sample for r in group(critiqued(rollouts, judgments, keep_good=0.25)).responses]
    assert 70 <= len(kept) <= 130 and 0 in kept
    again = critiqued(rollouts[::-1], judgments[::-1], keep_good=0.25)
    assert [r.sample for r in group(again).responses] == kept
    other = [r.sample for r in group(critiqued(rollouts, judgments, keep_good=0.25, seed=1)).responses]
    assert set(other) != set(kept)
    assert [r.sample for r in group(critiqued(rollouts, judgments, keep_good=0.0)).responses] == [0]


def test_why_a_prompt_has_no_critiqued_response() -> None:
    """The first reason that holds, in the documented order. TOLD and a response of one token are 4 tokens."""
    cut = replace(rollout("p", 0, "r"), finish_reason="length")
    blank, fine = rollout("p", 1, "\n"), rollout("p", 2, "r")
    assert reason(critiqued([cut], [critique(0, 3.0)], drop_truncated=True)) == "truncated"
    assert reason(critiqued([cut, blank], [critique(1, 3.0)], drop_truncated=True)) == "empty"
    assert reason(critiqued([fine], [critique(2, None)])) == "unscored"
    assert reason(critiqued([fine], [critique(2, 3.0)], max_tokens=3)) == "too_long"
    assert reason(critiqued([fine], [critique(2, 8.0)], keep_good=0.0)) == "good"
    assert group(critiqued([fine], [critique(2, 3.0)], max_tokens=4)).responses == (fine,)
    assert group(critiqued([cut, blank, fine], [critique(s, 3.0) for s in range(3)])).responses == (cut, fine)


@given(
    scores=st.lists(st.none() | st.integers(1, 10).map(float), min_size=1, max_size=5),
    told=st.lists(st.booleans(), min_size=5, max_size=5),
    keep=st.floats(0, 1),
)
def test_a_failed_parse_is_never_learnt_from_and_a_told_one_never_lost(
    scores: list[float | None], told: list[bool], keep: float
) -> None:
    rollouts = [rollout("p", sample, f"r{sample}") for sample in range(len(scores))]
    judgments = [critique(sample, score, told=told[sample]) for sample, score in enumerate(scores)]
    outcome = critiqued(rollouts, judgments, keep_good=keep)
    found = {r.sample for r in outcome.group.responses} if outcome.group else set()
    bad = {sample for sample, score in enumerate(scores) if score is not None and score < 7 and told[sample]}
    assert bad <= found <= {sample for sample, score in enumerate(scores) if score is not None}
    assert (outcome.dropped is None) == bool(found)


def test_every_combination_of_two_verdicts_is_a_pair_or_one_reason() -> None:
    """25 of them: 8 agree on a side, 8 contradict, 9 have an even order."""
    grades = (0.0, 0.25, 0.5, 0.75, 1.0)
    outcomes = [consistent(verdicts(*both)) for both in product(grades, repeat=2)]
    reasons = [reason(outcome) for outcome in outcomes if outcome.pair is None]
    assert (len(outcomes) - len(reasons), reasons.count("contradictory"), reasons.count("tie")) == (8, 8, 9)
