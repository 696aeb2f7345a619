"""How far a judge has moved from a frozen one, by hand."""

import pytest
from support.rounds import judgment

from roundelay.orchestrator.judge_drift import drift
from roundelay.orchestrator.records import Judgment


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
    assert found == {"responses": 4, "spearman": pytest.approx(0.8), "mean_shift": 2.0}


def test_only_responses_that_both_have_scored_count_with_the_mean_of_their_votes() -> None:
    """a: votes 1 and 3 before, 4 now: +2. b has no score now, c none before, d is not asked about again."""
    before = [*judged(b=5.0, c=None, d=5.0), judgment(0, 1.0, prompt="a"), judgment(0, 3.0, prompt="a", vote=1)]
    assert drift(before, judged(a=4.0, b=None, c=1.0)) == {"responses": 1, "spearman": None, "mean_shift": 2.0}


def test_a_judge_that_now_scores_all_alike_has_a_shift_and_no_correlation() -> None:
    assert drift(judged(a=1.0, b=3.0), judged(a=5.0, b=5.0)) == {"responses": 2, "spearman": None, "mean_shift": 3.0}


def test_without_a_common_score_there_is_no_drift() -> None:
    """As where the judge compares, or a reward model did not exist yet."""
    assert drift([], judged(a=1.0)) == {"responses": 0, "spearman": None, "mean_shift": None}
