"""Filters on examples worked by hand, and what holds for all of them. They see rows of numbers alone."""

import math
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.configs import CUT

from roundelay.orchestrator.data.filtering import MEASURED, Decision, filtered, num_rows, part_of
from roundelay.orchestrator.data.records import (
    Dropped,
    Judgment,
    Message,
    PairingOutcome,
    PreferencePair,
    Prompt,
    ResponseGroup,
    Rollout,
)
from roundelay.orchestrator.round.examples import training_examples
from roundelay.recipes.filters.balanced_verdicts import filter_balanced_verdicts
from roundelay.recipes.filters.both_orders import filter_both_orders
from roundelay.recipes.filters.length_margin import filter_length_margin
from roundelay.recipes.filters.longest import filter_longest
from roundelay.recipes.filters.mean_label_probability import filter_mean_label
from roundelay.recipes.filters.measured import Unit, measure
from roundelay.recipes.filters.ranking_agreement import filter_ranking_agreement
from roundelay.recipes.filters.rip import RipFilter, Threshold, filter_rip
from roundelay.recipes.filters.score_threshold import filter_score_threshold
from roundelay.recipes.filters.top_fraction import filter_top_fraction

NAN = math.nan


def quantile(at: float) -> Threshold:
    return Threshold(by="quantile", at=at)


def value(at: float) -> Threshold:
    return Threshold(by="value", at=at)


MEDIAN = quantile(0.5)


def rip(
    rows: np.ndarray,
    score: Threshold = MEDIAN,
    length: Threshold = MEDIAN,
    margin: Threshold = MEDIAN,
    unit: Unit = "tokens",
) -> Decision:
    config = RipFilter(kind="rip", rejected_score=score, rejected_length=length, margin=margin, unit=unit)
    return filter_rip(rows, config=config)


def rows_of(**columns: Sequence[float]) -> np.ndarray:
    """Rows with the columns that a test is about; the others are NaN."""
    (count,) = {len(column) for column in columns.values()}
    rows = np.full(count, NAN, dtype=MEASURED)
    for name, column in columns.items():
        rows[name] = column
    return rows


# ------------------------------------------------------------------------------------------------------------------ RIP

# (r(y_l), tokens of y_l, r(y_w) − r(y_l)) of five pairs, and what hits them with medians.
FIVE = rows_of(
    rejected_score=[3.0, 2.0, 3.0, 4.0, 1.0],
    rejected_tokens=[40, 90, 10, 40, 80],
    rejected_chars=[160, 90, 170, 40, 80],
    margin=[1.0, 1.0, 0.5, 2.0, 1.0],
)


def test_rip_keeps_what_lies_on_its_medians() -> None:
    """Sorted scores 1 2 3 3 4: median 3. Sorted tokens 10 40 40 80 90: median 40. Sorted margins .5 1 1 1 2: median 1.

    Pair 0 lies on all three thresholds and stays. Pair 1 scores 2 < 3; pair 2 has 10 < 40 tokens; pair 3 has a margin
    of 2 > 1; pair 4 scores 1 < 3.
    """
    decision = rip(FIVE)
    assert decision.dropped == [None, "low_rejected_score", "short_rejected", "wide_margin", "low_rejected_score"]
    assert decision.limits == {"rejected_score": 3.0, "rejected_length": 40.0, "margin": 1.0}


def test_rip_measures_lengths_in_the_unit_that_it_is_told() -> None:
    """Sorted characters 40 80 90 160 170: median 90. Of the two pairs with a score of 3 both are long enough then."""
    decision = rip(FIVE, unit="chars")
    assert decision.limits["rejected_length"] == 90.0
    assert decision.dropped == [None, "low_rejected_score", None, "short_rejected", "low_rejected_score"]


def test_each_of_rips_thresholds_is_a_quantile_or_a_number_of_its_own() -> None:
    """A quarter of the scores: position .25 · 4 = 1 in 1 2 3 3 4, which is 2. Ten tokens, and a margin of .75, as they
    stand: pair 2 alone has so small a margin."""
    decision = rip(FIVE, quantile(0.25), value(10), value(0.75))
    assert decision.limits == {"rejected_score": 2.0, "rejected_length": 10, "margin": 0.75}
    assert decision.dropped == ["wide_margin", "wide_margin", None, "wide_margin", "low_rejected_score"]


def test_a_quantile_between_two_values_lies_on_the_line_between_them() -> None:
    """Of 1 and 3 the median is 2, of four values 0 0 1 1 it is .5."""
    assert rip(rows_of(rejected_score=[3, 1], rejected_tokens=[1, 1], margin=[0, 0])).limits["rejected_score"] == 2.0
    four = rows_of(rejected_score=[0, 1, 0, 1], rejected_tokens=[5] * 4, margin=[1] * 4)
    assert rip(four).dropped == ["low_rejected_score", None, "low_rejected_score", None]


@pytest.mark.parametrize("at", [0.1, 0.3, 0.6, 0.7, 0.9])
def test_a_value_on_its_quantile_is_kept_whatever_the_noise_of_interpolation(at: float) -> None:
    """Of eleven values 0, .1, … 1 the quantile `at` is `at` itself, though 10 · .3 is not 3 for a computer."""
    scores = [round(index / 10, 1) for index in range(11)]
    rows = rows_of(rejected_score=scores, rejected_tokens=[1] * 11, margin=[1] * 11)
    kept = [score for score, why in zip(scores, rip(rows, quantile(at)).dropped, strict=True) if why is None]
    assert min(kept) == at


def test_rip_keeps_all_of_equal_pairs() -> None:
    """Every number lies on its quantile."""
    rows = rows_of(rejected_score=[2.5] * 6, rejected_tokens=[7] * 6, margin=[0.5] * 6)
    assert rip(rows, quantile(0.9), quantile(0.9), quantile(0.1)).dropped == [None] * 6


def test_rip_needs_scores() -> None:
    with pytest.raises(AssertionError, match="pairing by scores"):
        rip(rows_of(rejected_tokens=[3, 4]))


@given(
    pairs=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9), st.integers(0, 4)), min_size=1, max_size=30),
    at=st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
)
def test_rip_keeps_a_pair_iff_all_three_conditions_hold(
    pairs: list[tuple[int, int, int]], at: tuple[float, float, float]
) -> None:
    """By the limits that it reports; and at quantiles of 0, 0 and 1 it keeps everything."""
    scores, tokens, margins = zip(*pairs, strict=True)
    rows = rows_of(rejected_score=scores, rejected_tokens=tokens, margin=margins)
    decision = rip(rows, quantile(at[0]), quantile(at[1]), quantile(at[2]))
    low, short, wide = (decision.limits[name] for name in ("rejected_score", "rejected_length", "margin"))
    kept = [score >= low and length >= short and margin <= wide for score, length, margin in pairs]
    assert [reason is None for reason in decision.dropped] == kept
    assert rip(rows, quantile(0), quantile(0), quantile(1)).dropped == [None] * len(pairs)


# ------------------------------------------------------------------------------------------- thresholds, ranks, lengths


def test_a_score_on_the_threshold_is_kept() -> None:
    """AlpaGasus: 4.5 stays, 4.499 goes."""
    decision = filter_score_threshold(rows_of(score=[4.5, 4.499, 5.0, 0.0]), min_score=4.5)
    assert decision.dropped == [None, "low_score", None, "low_score"]


def test_the_longest_of_a_round_stay_and_of_equals_the_earlier_ones() -> None:
    """Tokens 5 9 7 9 7: the two nines, and of the sevens the first."""
    rows = rows_of(tokens=[5, 9, 7, 9, 7], chars=[90, 80, 70, 60, 50])
    assert filter_longest(rows, count=3, unit="tokens").dropped == ["not_longest", None, None, None, "not_longest"]
    assert filter_longest(rows, count=2, unit="chars").dropped == [None, None, *["not_longest"] * 3]
    assert filter_longest(rows, count=99, unit="tokens").dropped == [None] * 5


def test_rafts_global_ranking_keeps_a_fifth_of_the_round() -> None:
    """Ten scores, 20%: two. The best is 9; of the two eights the earlier one stays."""
    scores = [1, 8, 3, 9, 8, 2, 4, 5, 6, 7]
    dropped = filter_top_fraction(rows_of(score=scores), fraction=0.2).dropped
    assert [index for index, reason in enumerate(dropped) if reason is None] == [1, 3]
    assert {reason for reason in dropped if reason} == {"not_top"}


@pytest.mark.parametrize(
    ("count", "fraction", "kept"), [(9, 0.2, 1), (14, 0.2, 2), (3, 0.2, 1), (100, 0.29, 29), (5, 1.0, 5)]
)
def test_the_number_of_the_best_is_rounded_down_but_never_to_none(count: int, fraction: float, kept: int) -> None:
    """9 · .2 = 1.8, 14 · .2 = 2.8, 3 · .2 = .6; and .29 · 100, which is 28.999… for a computer, is 29."""
    dropped = filter_top_fraction(rows_of(score=list(range(count))), fraction=fraction).dropped
    assert dropped == ["not_top"] * (count - kept) + [None] * kept


def test_a_chosen_response_may_be_longer_by_the_margin_and_no_more() -> None:
    """Excesses of 3, 2 and −5 tokens against a margin of 2; in characters 0, 10 and 10."""
    rows = rows_of(tokens=[8, 7, 1], rejected_tokens=[5, 5, 6], chars=[9, 20, 20], rejected_chars=[9, 10, 10])
    assert filter_length_margin(rows, max_excess=2, unit="tokens").dropped == ["long_chosen", None, None]
    assert filter_length_margin(rows, max_excess=9, unit="chars").dropped == [None, "long_chosen", "long_chosen"]


def test_the_mean_label_probability_is_that_of_the_pairs_of_the_round() -> None:
    """(.9 + .6 + .6) / 3 = .7 for all."""
    decision = filter_mean_label(rows_of(label_probability=[0.9, 0.6, 0.6]))
    assert decision.dropped == (None, None, None)
    assert (decision.label_probability, decision.limits) == (0.7, {"label_probability": 0.7})


FILTERS: dict[str, Callable[[np.ndarray], Decision]] = {
    "rip": rip,
    "score_threshold": lambda rows: filter_score_threshold(rows, min_score=3.0),
    "longest": lambda rows: filter_longest(rows, count=4, unit="tokens"),
    "top_fraction": lambda rows: filter_top_fraction(rows, fraction=0.2),
    "length_margin": lambda rows: filter_length_margin(rows, max_excess=0, unit="chars"),
    "mean_label_probability": filter_mean_label,
    "ranking_agreement": lambda rows: filter_ranking_agreement(rows, max_share=0.3, seed=0),
    "balanced_verdicts": lambda rows: filter_balanced_verdicts(rows, seed=0),
    "both_orders": filter_both_orders,
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_round_that_gave_nothing_is_filtered_to_nothing(name: str) -> None:
    assert list(FILTERS[name](np.array([], dtype=MEASURED)).dropped) == []


@pytest.mark.parametrize("name", FILTERS)
@given(table=st.lists(st.tuples(*[st.integers(0, 6)] * len(MEASURED.names or ())), min_size=1, max_size=20))
def test_a_filter_says_one_thing_of_every_row_and_the_same_again(name: str, table: list[tuple[int, ...]]) -> None:
    """It does not touch what it sees either."""
    rows = np.array(table, dtype=MEASURED)
    before = rows.copy()
    decision = FILTERS[name](rows)
    assert len(decision.dropped) == len(rows) and decision == FILTERS[name](rows)
    assert all(reason is None or reason for reason in decision.dropped)
    assert (rows == before).all()


# ------------------------------------------------------------------------------- what is measured, and what it becomes


def rollout(sample: int, text: str, tokens: int) -> Rollout:
    return Rollout(
        prompt_id="p", sample=sample, variant="plain", prompt_token_ids=(1,), sampler_token_ids=(1,),
        token_ids=(5,) * tokens, logprobs=(-1.0,) * tokens, text=text, finish_reason="stop", policy_version=0, seed=0,
    )  # fmt: skip


def prompt(identity: str) -> Prompt:
    return Prompt(id=identity, messages=(Message(role="user", content="Hi"),))


def vote(sample: int, score: float | None, identity: str = "p") -> Judgment:
    return Judgment(
        prompt_id=identity, sample=sample, vote=0, status="unparsable" if score is None else "parsed", score=score,
        choice_mass=None, text="",
    )  # fmt: skip


def pair(identity: str = "p", margin: float | None = 1.5, label: float = 1.0) -> PairingOutcome:
    """Sample 2 ("longer", four tokens) over sample 0 ("bad", three tokens)."""
    made = PreferencePair(
        prompt=prompt(identity), chosen=rollout(2, "longer", 4), rejected=rollout(0, "bad", 3), margin=margin,
        label_probability=label, provenance="judge",
    )  # fmt: skip
    return PairingOutcome(pair=made, dropped=None)


def group(identity: str, *scores: float) -> PairingOutcome:
    responses = tuple(rollout(sample, "x" * (sample + 1), 9 - sample) for sample in range(len(scores)))
    made = ResponseGroup(prompt=prompt(identity), responses=responses, scores=scores)
    return PairingOutcome(pair=None, dropped=None, group=made)


def lost(identity: str) -> PairingOutcome:
    return PairingOutcome(pair=None, dropped=Dropped(prompt_id=identity, reason="tie"))


def table(rows: np.ndarray) -> list[dict[str, Any]]:
    """Rows by column, without what is NaN."""
    names = rows.dtype.names or ()
    return [{name: row[name] for name in names if not np.isnan(row[name])} for row in rows]


def test_a_pair_is_measured_by_its_responses_their_scores_and_its_label() -> None:
    """The chosen one's votes 4 and 3 have mean 3.5; what was not parsed is no vote; another prompt's votes are its
    own. A pair without scores has lengths and a label."""
    votes = [vote(2, 4.0), vote(2, 3.0), vote(2, None), vote(0, 2.0), vote(1, 0.0), vote(0, 1.0, "q")]
    rows = measure([pair(), lost("x"), pair("q", None, 0.75)], votes)
    lengths = {"tokens": 4, "chars": 6, "rejected_tokens": 3, "rejected_chars": 3}
    assert table(rows) == [
        {"score": 3.5, "rejected_score": 2.0, "margin": 1.5, "label_probability": 1.0, **lengths},
        {"rejected_score": 1.0, "label_probability": 0.75, **lengths},
    ]


def test_a_group_is_measured_response_by_response() -> None:
    assert table(measure([group("p", 3.0, 1.0)], [])) == [
        {"score": 3.0, "tokens": 9, "chars": 1},
        {"score": 1.0, "tokens": 8, "chars": 2},
    ]


def test_demonstrations_have_lengths_and_stay_without_scores() -> None:
    """A group that nobody scored: of three responses the two longest stay (9 and 8 tokens)."""
    scored = group("p", 3.0, 2.0, 1.0)
    assert scored.group is not None
    demonstrations = replace(scored, group=replace(scored.group, scores=()))
    rows = measure([demonstrations], [])
    assert table(rows) == [{"tokens": 9, "chars": 1}, {"tokens": 8, "chars": 2}, {"tokens": 7, "chars": 3}]
    (left,) = filtered([demonstrations], filter_longest(rows, count=2, unit="tokens"), 0)
    assert left.group is not None and left.group.scores == ()
    assert [one.sample for one in left.group.responses] == [0, 1]


def test_outcomes_keep_their_places_and_lose_what_is_dropped() -> None:
    """Rows: one of the pair, none of the tie, three of the group, two of the next, before which two of another shard.

    The pair goes; the group keeps its first and third response with their scores; the other group goes by the reason
    of its first response.
    """
    outcomes = [pair("a"), lost("b"), group("c", 3.0, 2.0, 1.0), group("d", 2.0, 1.0)]
    assert [num_rows(outcome) for outcome in outcomes] == [1, 0, 3, 2]
    dropped = ("other", None, "wide_margin", None, "low_score", None, "not_top", "low_score")
    left = filtered(outcomes, Decision(dropped=dropped), 2)
    assert left[0] == PairingOutcome(pair=None, dropped=Dropped(prompt_id="a", reason="wide_margin"))
    assert left[1] == outcomes[1]
    assert left[2].group is not None and [one.sample for one in left[2].group.responses] == [0, 2]
    assert left[2].group.scores == (3.0, 1.0)
    assert left[3] == PairingOutcome(pair=None, dropped=Dropped(prompt_id="d", reason="not_top"))


def test_what_stays_of_a_group_keeps_all_that_is_known_of_each_response() -> None:
    """Every field with an entry a response loses the second of three, and no other entry; one that is empty stays
    so. A field of `ResponseGroup` that this does not list would be lost."""
    whole = group("p", 3.0, 2.0, 1.0).group
    assert whole is not None
    known: dict[str, Any] = {
        "responses": whole.responses,
        "scores": (3.0, 2.0, 1.0),
        "attributes": ((1.0,), (2.0,), (3.0,)),
        "critiqued_prompt_token_ids": ((4,), (5, 5), (6, 6, 6)),
    }
    assert {one.name for one in fields(ResponseGroup)} == {"prompt", *known}
    part = part_of(replace(whole, **known), (0, 2))
    assert {name: getattr(part, name) for name in known} == {name: (a, c) for name, (a, _, c) in known.items()}
    assert part_of(whole, (1,)).critiqued_prompt_token_ids == ()


def test_a_critiqued_response_is_learnt_after_its_own_judgment_also_when_others_are_dropped() -> None:
    """CUT's examples of the first and the third response (9 and 7 tokens), each under its own second prompt."""
    made = group("p", 3.0, 2.0, 1.0)
    assert made.group is not None
    made = replace(made, group=replace(made.group, critiqued_prompt_token_ids=((4,), (5, 5), (6, 6, 6))))
    left = filtered([made], Decision(dropped=(None, "not_longest", None)), 0)
    examples = training_examples(left, CUT, first=0, num_prompts=1, epoch=0, epochs=1)
    learnt = [[(one.prompt_token_ids, len(one.token_ids)) for one in example.sequences] for example in examples]
    assert learnt == [[((1,), 9), ((4,), 9)], [((1,), 7), ((6, 6, 6), 7)]]


def test_a_label_probability_of_the_round_takes_the_place_of_every_kept_pairs_own() -> None:
    outcomes = [pair("a", label=0.9), pair("b", label=0.5)]
    left = filtered(outcomes, Decision(dropped=(None, None), label_probability=0.7), 0)
    assert [one.pair.label_probability for one in left if one.pair] == [0.7, 0.7]
    assert [one.pair.chosen for one in left if one.pair] == [one.pair.chosen for one in outcomes if one.pair]
