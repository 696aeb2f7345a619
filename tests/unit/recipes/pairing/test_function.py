"""A pair that the user's function takes: it gets the scores, and what it says is checked."""

from collections.abc import Mapping, Sequence

import pytest
from support.pairing import PROMPT, rollout

from roundelay.orchestrator.data.records import Judgment, Prompt, Rollout
from roundelay.orchestrator.errors import RunError
from roundelay.recipes.judges.verdicts import scored
from roundelay.recipes.pairing.function import PairFunction, pair_by_function

ROLLOUTS = [rollout(0, "one"), rollout(1, "two"), rollout(2, "three", finish="length")]


def votes(**scores: float) -> list[Judgment]:
    by_text = {one.text: one for one in ROLLOUTS}
    return [scored(by_text[text], vote=0, status="parsed", score=score) for text, score in scores.items()]


def shortest(prompt: Prompt, rollouts: Sequence[Rollout], scores: Mapping[int, float]) -> tuple[Rollout, Rollout] | str:
    return rollouts[1], rollouts[0]


def pair(function: PairFunction, judgments: Sequence[Judgment] = (), *, drop_truncated: bool = False):
    return pair_by_function(PROMPT, ROLLOUTS, judgments, function=function, drop_truncated=drop_truncated)


def test_the_margin_is_the_difference_of_the_mean_scores_and_none_without_them() -> None:
    judged = pair(shortest, votes(one=1.0, two=3.5)).pair
    assert judged is not None and (judged.chosen.text, judged.rejected.text, judged.margin) == ("two", "one", 2.5)
    unjudged = pair(shortest, votes(one=1.0)).pair
    assert unjudged is not None and unjudged.margin is None


def test_the_function_sees_the_candidates_and_their_scores_alone() -> None:
    seen = {}

    def look(prompt: Prompt, rollouts: Sequence[Rollout], scores: Mapping[int, float]) -> str:
        seen.update(texts=[one.text for one in rollouts], scores=dict(scores))
        return "dull"

    outcome = pair(look, votes(two=2.0), drop_truncated=True)
    assert seen == {"texts": ["one", "two"], "scores": {1: 2.0}}
    assert outcome.dropped is not None and outcome.dropped.reason == "dull"


@pytest.mark.parametrize(("two", "reason"), [(1.0, "tie"), (0.5, "inverted")])
def test_what_the_judge_scores_no_higher_is_not_better_whatever_the_function_says(two: float, reason: str) -> None:
    """It takes "two" over "one", which has score 1."""
    outcome = pair(shortest, votes(one=1.0, two=two))
    assert outcome.pair is None and outcome.dropped is not None and outcome.dropped.reason == reason


def test_two_responses_that_say_the_same_make_no_pair() -> None:
    outcome = pair(lambda prompt, rollouts, scores: (rollouts[0], rollouts[0]))
    assert outcome.pair is None and outcome.dropped is not None and outcome.dropped.reason == "identical"


@pytest.mark.parametrize("said", [None, "", 3, (ROLLOUTS[0],), (ROLLOUTS[0], "two"), (ROLLOUTS[0], rollout(9, "new"))])
def test_anything_but_two_of_the_rollouts_or_a_reason_stops_the_run(said: object) -> None:
    with pytest.raises(RunError, match=r"pairing\.function returned .* for prompt 'p'"):
        pair(lambda prompt, rollouts, scores: said)  # type: ignore[arg-type, return-value]
