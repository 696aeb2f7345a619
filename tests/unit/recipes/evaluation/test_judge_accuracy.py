"""A judge against labels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.comparisons import comparison, scored, with_verdict

from roundelay.recipes.evaluation.comparisons import Verdict
from roundelay.recipes.evaluation.judge_accuracy import Unread, cohens_kappa, judge_accuracy

VERDICTS = st.sampled_from(["a", "b", "tie"])


def test_the_figures_of_a_small_set_are_those_counted_by_hand() -> None:
    """Verdicts a, b, tie, a, (unread) against labels a, b, tie, b, a: 3 of the 4 read are right.
    Orders of the three read pairs whose label is no tie: (.9, .7) a/a right twice, (.2, .4) b/b right twice, (.9, .7)
    of label b wrong twice: 4 of 6. Chance: verdicts a 2/4, b 1/4, tie 1/4; labels a 1/4, b 2/4, tie 1/4: (2+2+1)/16 =
    5/16; κ = (12/16 − 5/16)/(11/16) = 7/11. Ties: one of four on both sides."""
    comparisons = [*(with_verdict(verdict) for verdict in ("a", "b", "tie", "a")), comparison(None, 0.5)]
    labels: list[Verdict] = ["a", "b", "tie", "b", "a"]
    found = judge_accuracy(comparisons, labels, ["x", "x", "x", "y", "y"])
    assert found is not None
    assert (found.pairs, found.unparsable, found.parse_rate) == (5, 1, 0.8)
    assert found.accuracy == 0.75
    assert found.answer_accuracy == pytest.approx(4 / 6)
    assert found.kappa == pytest.approx(7 / 11)
    assert (found.tie_rate, found.label_tie_rate) == (0.25, 0.25)
    assert found.by_subset == {"x": 1.0, "y": 0.0}
    assert found.swap_consistency == 0.75  # the tie's orders, (.8, .3), contradict each other


def test_a_judge_that_always_prefers_the_first_is_right_half_the_time_by_order_and_never_by_verdict() -> None:
    """Its verdicts are all ties; by order it is right once a pair."""
    found = judge_accuracy([comparison(1.0, 0.0)] * 4, ["a", "b", "a", "b"], [""] * 4)
    assert found is not None
    assert (found.accuracy, found.answer_accuracy, found.swap_consistency) == (0.0, 0.5, 0.0)
    assert found.prefers_first == 0.5
    assert found.kappa == 0.0


def test_scores_are_measured_against_labels_without_orders() -> None:
    """Right on the first; a tie against label a, half of an answer but not the label; the third wrong; the fourth a
    tie that is labelled so; the fifth unread. Labels: 2 of 4 right; without the label tie 1, ½ and 0 of 3."""
    comparisons = [scored(4, 2), scored(3, 3), scored(1, 2), scored(0, 0), scored(None, 5)]
    found = judge_accuracy(comparisons, ["a", "a", "a", "tie", "b"], [""] * 5)
    assert found is not None
    assert (found.accuracy, found.answer_accuracy, found.unparsable) == (0.5, pytest.approx(0.5), 1)
    assert (found.swap_consistency, found.prefers_first) == (None, None)
    assert (found.tie_rate, found.label_tie_rate) == (0.5, 0.25)


def test_an_answer_that_is_even_counts_half_by_order() -> None:
    found = judge_accuracy([comparison(0.5, 0.9)], ["a"], [""])
    assert found is not None and found.answer_accuracy == 0.75


def test_labels_that_are_all_ties_have_no_accuracy_by_order() -> None:
    found = judge_accuracy([with_verdict("a")], ["tie"], [""])
    assert found is not None and found.answer_accuracy is None


@pytest.mark.parametrize(
    ("unread", "accuracy", "answer_accuracy", "by_subset"),
    [
        ("left_out", 1.0, 1.0, {"x": 1.0}),
        ("wrong", 0.25, 3 / 6, {"x": 0.5, "y": 0.0}),
        ("tie", 0.5, 4.5 / 6, {"x": 0.5, "y": 0.5}),
    ],
)
def test_what_cannot_be_read_counts_as_the_benchmark_has_it(
    unread: Unread, accuracy: float, answer_accuracy: float, by_subset: dict[str, float]
) -> None:
    """Four pairs: right in both orders; one order unread, the other right; both unread (label b); both unread where
    the label is a tie. Verdicts by label: 1 of 1; with unread ones wrong 1 of 4; as ties the second's orders are a and
    a tie, so a tie, wrong, and the fourth is right: 2 of 4. By order, without the label tie: 2 of 2; 3 of 6 (1, 1, 1,
    0, 0, 0); and (1, 1, 1, ½, ½, ½)."""
    pairs = [comparison(0.9, 0.8), comparison(0.9, None), comparison(None, None), comparison(None, None)]
    found = judge_accuracy(pairs, ["a", "a", "b", "tie"], ["x", "x", "y", "y"], unread=unread)
    assert found is not None
    assert (found.accuracy, found.answer_accuracy, found.by_subset) == (accuracy, answer_accuracy, by_subset)
    assert (found.unparsable, found.parse_rate, found.unread, found.tie_rate) == (3, 0.25, unread, 0.0)


def test_an_unread_score_counts_as_the_benchmark_has_it() -> None:
    """Once a pair: there are no orders. Right, and unread: 1 of 2 where it is wrong, 1½ of 2 where it is a tie."""
    pairs = [scored(4, 2), scored(None, 5)]
    wrong, tie = (judge_accuracy(pairs, ["a", "b"], ["", ""], unread=unread) for unread in ("wrong", "tie"))
    assert wrong is not None and tie is not None
    assert (wrong.accuracy, wrong.answer_accuracy, tie.accuracy, tie.answer_accuracy) == (0.5, 0.5, 0.5, 0.75)


def test_nothing_readable_has_no_accuracy() -> None:
    assert judge_accuracy([comparison(None, None)], ["a"], [""]) is None


def test_kappa_of_a_textbook_table() -> None:
    """20 both yes, 5 yes/no, 10 no/yes, 15 both no: p_o = .7, p_e = .5·.6 + .5·.4 = .5, κ = .4."""
    left = ["y"] * 25 + ["n"] * 25
    right = ["y"] * 20 + ["n"] * 5 + ["y"] * 10 + ["n"] * 15
    assert cohens_kappa(left, right) == pytest.approx(0.4)


def test_kappa_is_undefined_where_chance_always_agrees() -> None:
    assert cohens_kappa(["a", "a"], ["a", "a"]) is None
    assert cohens_kappa([], []) is None


@given(st.lists(st.tuples(VERDICTS, VERDICTS), min_size=1))
def test_kappa_is_at_most_one_symmetric_and_one_only_for_full_agreement(pairs: list[tuple[Verdict, Verdict]]) -> None:
    left, right = [one for one, _ in pairs], [other for _, other in pairs]
    kappa = cohens_kappa(left, right)
    assert kappa == cohens_kappa(right, left)
    if kappa is not None:
        assert -1.0 <= kappa <= 1.0
        assert (kappa == 1.0) == (left == right)
