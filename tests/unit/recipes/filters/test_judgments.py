"""Which judgments a judge is trained on, on examples worked by hand."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.pairing import rollout

from roundelay.orchestrator.data.filtering import MEASURED, Decision
from roundelay.orchestrator.data.records import Message, PairingOutcome, PreferencePair, Prompt, ResponseGroup, Truth
from roundelay.recipes.filters.balanced_verdicts import filter_balanced_verdicts
from roundelay.recipes.filters.both_orders import filter_both_orders
from roundelay.recipes.filters.measured import measure
from roundelay.recipes.filters.ranking_agreement import filter_ranking_agreement

EMPTY = np.array([], dtype=MEASURED)


def rows_of(*rows: dict[str, float]) -> np.ndarray:
    table = np.full(len(rows), math.nan, dtype=MEASURED)
    for index, row in enumerate(rows):
        for name, value in row.items():
            table[name][index] = value
    return table


def score(source: int, rank: int, sample: int, score: float) -> dict[str, float]:
    return {"source": source, "rank": rank, "sample": sample, "score": score}


def verdict(source: int, rank: int, other: int, sample: int = 0) -> dict[str, float]:
    return {"source": source, "rank": rank, "other_rank": other, "sample": sample}


def agreeing(rows: np.ndarray, max_share: float | None = None, seed: int = 0) -> Decision:
    return filter_ranking_agreement(rows, max_share=max_share, seed=seed)


# ---------------------------------------------------------------------------------------------------- ranking agreement


def test_scores_that_order_the_responses_as_they_are_ranked_stay() -> None:
    """Prompt 7 has three responses and two attempts. Attempt 0 scores 4 > 3 > 1 by rank: all stay. Attempt 1 scores
    4, 1, 3: the last two are the wrong way round, and none of it stays. Prompt 8's attempt scores 2 and 2: no order.
    Prompt 9 has one judgment that could be read: nothing is ordered by it. Rows come in any order."""
    rows = rows_of(
        score(7, 2, 0, 1), score(7, 0, 0, 4), score(7, 0, 1, 4), score(7, 1, 1, 1), score(7, 1, 0, 3),
        score(7, 2, 1, 3), score(8, 0, 0, 2), score(8, 1, 0, 2), score(9, 0, 0, 5),
    )  # fmt: skip
    assert agreeing(rows).dropped == [
        None, None, "disagrees", "disagrees", None, "disagrees", "disagrees", "disagrees", "alone",
    ]  # fmt: skip


def test_what_could_not_be_read_is_no_part_of_an_attempt() -> None:
    """Ranks 0 and 2 of three: 5 over 1 agrees, though the second-best has no score."""
    assert agreeing(rows_of(score(7, 0, 0, 5), score(7, 2, 0, 1))).dropped == [None, None]


def test_a_score_that_is_too_common_is_drawn_down_to_its_share() -> None:
    """Ten prompts score 4 over 0 … 4 over 3 and so on: of twenty judgments ten score 4. At most .3 · 20 = 6 of one
    score: four of the tens go; the ten others have 2 of each of five scores, and stay."""
    lower = [0, 0, 1, 1, 2, 2, 3, 3, 3.5, 3.5]
    rows = rows_of(*(row for n, low in enumerate(lower) for row in (score(n, 0, 0, 4), score(n, 1, 0, low))))
    decision = agreeing(rows, max_share=0.3)
    assert decision.limits == {"judgments_of_one_score": 6}
    assert Counter(decision.dropped) == {None: 16, "common_score": 4}
    assert {rows["score"][i] for i, why in enumerate(decision.dropped) if why} == {4.0}
    assert agreeing(rows, max_share=0.3) == decision
    assert any(agreeing(rows, max_share=0.3, seed=seed) != decision for seed in (1, 2, 3))


def test_who_is_drawn_hangs_on_what_a_judgment_is_of_and_not_on_its_place() -> None:
    rows = rows_of(*(row for n in range(8) for row in (score(n, 0, 0, 4), score(n, 1, 0, n / 3))))
    there, back = agreeing(rows, max_share=0.3), agreeing(rows[::-1].copy(), max_share=0.3)
    assert list(there.dropped) == list(back.dropped)[::-1] and "common_score" in there.dropped


def test_of_a_single_agreeing_attempt_something_always_stays() -> None:
    assert agreeing(rows_of(score(7, 0, 0, 5), score(7, 1, 0, 1)), max_share=0.01).dropped == [None, None]


# ------------------------------------------------------------------------------------------------------------- verdicts


def test_the_more_frequent_verdict_is_drawn_down_to_the_other_one() -> None:
    """Five right verdicts for what is shown first, two for what is shown second: three of the five go."""
    rows = rows_of(*(verdict(n, 0, 1) for n in range(5)), verdict(8, 1, 0), verdict(9, 2, 0))
    decision = filter_balanced_verdicts(rows, seed=0)
    assert Counter(decision.dropped) == {None: 4, "common_verdict": 3}
    assert decision.dropped[5:] == [None, None]
    assert filter_balanced_verdicts(rows, seed=0) == decision
    assert any(filter_balanced_verdicts(rows, seed=seed) != decision for seed in range(1, 6))
    swapped = rows.copy()
    swapped["rank"], swapped["other_rank"] = rows["other_rank"], rows["rank"]
    assert filter_balanced_verdicts(swapped, seed=0).dropped[5:] == [None, None]


def test_verdicts_for_one_place_alone_teach_nothing() -> None:
    rows = rows_of(verdict(1, 0, 1), verdict(2, 0, 3))
    assert filter_balanced_verdicts(rows, seed=0).dropped == ["common_verdict"] * 2


def test_what_is_right_in_one_order_alone_goes() -> None:
    """Prompt 1's two best are judged in both orders, its best and its worst in one; prompt 2's in one order twice."""
    rows = rows_of(verdict(1, 0, 1), verdict(1, 0, 2), verdict(2, 1, 0), verdict(1, 1, 0), verdict(2, 1, 0, 3))
    assert filter_both_orders(rows).dropped == [None, "one_order", "one_order", None, "one_order"]


def test_nothing_is_filtered_to_nothing() -> None:
    for decision in (agreeing(EMPTY, 0.3), filter_balanced_verdicts(EMPTY, seed=0), filter_both_orders(EMPTY)):
        assert list(decision.dropped) == []


@given(
    table=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 2), st.integers(0, 3)), max_size=30),
    seed=st.integers(0, 9),
)
def test_what_stays_of_verdicts_is_balanced(table: list[tuple[int, int, int, int]], seed: int) -> None:
    """As many of both, as many as the rarer had; and in both orders, every place has its opposite."""
    distinct = dict.fromkeys((s, r, o, n) for s, r, o, n in table if r != o)
    rows = rows_of(*(verdict(*row) for row in distinct))
    firsts = [bool(row["rank"] < row["other_rank"]) for row in rows]
    reasons = filter_balanced_verdicts(rows, seed=seed).dropped
    kept = [first for first, why in zip(firsts, reasons, strict=True) if not why]
    assert sum(kept) == len(kept) - sum(kept) == min(sum(firsts), len(firsts) - sum(firsts))
    left = {row[:3] for row, why in zip(distinct, filter_both_orders(rows).dropped, strict=True) if not why}
    assert left == {(s, r, o) for s, r, o, _ in distinct if any(row[:3] == (s, o, r) for row in distinct)}


# ------------------------------------------------------------------------------------------------------------- measured


def judged(source: str, *ranks: int) -> Prompt:
    form = "additive" if len(ranks) == 1 else "mt_bench"
    return Prompt(
        id=f"{source}/{ranks}",
        messages=(Message(role="user", content="Judge"),),
        truth=Truth(source=source, form=form, ranks=ranks),
    )


def test_judgments_are_measured_with_what_they_are_about() -> None:
    """Two prompts over the responses to one prompt have its number, others another one."""
    scores = ResponseGroup(prompt=judged("a", 2), responses=(rollout(3), rollout(1)), scores=(4.0, 2.0))
    pair = PreferencePair(
        prompt=judged("a", 1, 0), chosen=rollout(5), rejected=rollout(0), margin=None, label_probability=1.0,
        provenance="truth",
    )  # fmt: skip
    other = replace(pair, prompt=judged("b", 0, 1))
    outcomes = [
        PairingOutcome(pair=None, dropped=None, group=scores),
        PairingOutcome(pair=pair, dropped=None),
        PairingOutcome(pair=other, dropped=None),
    ]
    rows = measure(outcomes, [])
    assert rows["rank"].tolist() == [2, 2, 1, 0] and rows["sample"].tolist() == [3, 1, 5, 5]
    assert np.isnan(rows["other_rank"][:2]).all() and rows["other_rank"][2:].tolist() == [0, 1]
    assert rows["source"][0] == rows["source"][1] == rows["source"][2] != rows["source"][3]
