"""The response whose judgments differ most."""

from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from support.judging import rollout

from roundelay.orchestrator.data.records import Judgment
from roundelay.recipes.judges.verdicts import scored
from roundelay.recipes.prompts.disputed import most_disputed

RESPONSES = [rollout("p", sample, f"text {sample}") for sample in range(3)]


def judgments(*votes: Sequence[float | None]) -> list[Judgment]:
    return [
        scored(RESPONSES[sample], vote=vote, status="unparsable" if score is None else "parsed", score=score)
        for sample, scores in enumerate(votes)
        for vote, score in enumerate(scores)
    ]


def sample_of(*votes: Sequence[float | None], seed: int = 0) -> int | None:
    found = most_disputed(RESPONSES, judgments(*votes), seed=seed)
    return None if found is None else found.sample


def test_the_highest_variance_of_parsed_scores_wins() -> None:
    """(2, 2, 2) has none; (1, 3), of mean 2, has 1; (0, 1, 2), of mean 1, has 2/3."""
    assert sample_of((2, 2, 2), (1, 3), (0, 1, 2)) == 1


def test_a_failed_parse_is_no_score_and_one_score_has_no_variance() -> None:
    """(5, failed, failed) has no variance, though with zeros for the failures it would have the highest."""
    assert sample_of((5, None, None), (3, 4), (3, 3)) == 1
    assert sample_of((5, None), (None,), ()) is None


def test_equals_are_drawn_by_seed_and_each_has_its_turn() -> None:
    """(1, 3) and (3, 1) have the same variance. Of 200 seeds each wins 100 on average, by a standard deviation of 7."""
    drawn = Counter(sample_of((1, 3), (2, 2), (3, 1), seed=seed) for seed in range(200))
    assert drawn.keys() == {0, 2} and min(drawn.values()) > 60


@given(st.permutations(range(6)), st.integers(0, 99))
def test_the_order_of_responses_and_judgments_means_nothing(order: list[int], seed: int) -> None:
    votes = judgments((1, 3), (0, 2), (4, 4))
    shuffled = [votes[index] for index in order]
    expected = most_disputed(RESPONSES, votes, seed=seed)
    assert most_disputed(RESPONSES[::-1], shuffled, seed=seed) == expected
