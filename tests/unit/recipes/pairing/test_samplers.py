"""Pairs from several samplers' responses: Temporal Self-Rewarding's two phases and WRPO's triples, worked by hand."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundelay.orchestrator.data.records import Judgment, Message, PairingOutcome, Prompt, Rollout
from roundelay.orchestrator.round.again import CHOSEN_BEFORE, REJECTED_BEFORE
from roundelay.recipes.pairing.anchored import pair_anchored
from roundelay.recipes.pairing.function import pair_by_function
from roundelay.recipes.pairing.future_guided import pair_future_guided
from roundelay.recipes.pairing.with_source import pair_with_source

PROMPT = Prompt(id="p", messages=(Message(role="user", content="Hi"),))
Responses: TypeAlias = tuple[list[Rollout], list[Judgment]]
SOURCE = "/models/theirs"


def responses(sampler: str, *scores: float | None, first: int = 0) -> Responses:
    """A response and a vote for each score, numbered from `first`; None is a vote that failed."""
    rollouts, votes = [], []
    for sample, score in enumerate(scores, start=first):
        rollouts.append(
            Rollout(
                prompt_id="p", sample=sample, variant="plain", prompt_token_ids=(1,), sampler_token_ids=(1,),
                token_ids=(2,), logprobs=(-1.0,), text=f"{sampler} {sample}", finish_reason="stop", policy_version=0,
                seed=0, sampler=sampler,
            )
        )  # fmt: skip
        status = "unparsable" if score is None else "parsed"
        votes.append(
            Judgment(prompt_id="p", sample=sample, vote=0, status=status, score=score, choice_mass=None, text="")
        )
    return rollouts, votes


def both(own: Sequence[float | None], other: Sequence[float | None], sampler: str) -> Responses:
    ours, theirs = responses("policy", *own), responses(sampler, *other, first=len(own))
    return ours[0] + theirs[0], ours[1] + theirs[1]


def chosen_over_rejected(outcome: PairingOutcome) -> tuple[int, int] | str:
    if outcome.pair is None:
        assert outcome.dropped is not None
        return outcome.dropped.reason
    return outcome.pair.chosen.sample, outcome.pair.rejected.sample


@pytest.mark.parametrize(
    ("own", "initial", "expected"),
    [
        ((3, 5, 4), (2, 4, 1), (1, 5)),  # min s₀ = 1 < min s = 3: the initial policy's worst
        ((3, 5, 1), (2, 4, 2), (1, 2)),  # min s₀ = 2 ≥ min s = 1: the policy's own worst
        ((3, 5, 1), (1, 4, 2), (1, 2)),  # equal minima: not lower, so the policy's own
        ((3, 4), (5, 2), (1, 3)),  # the initial policy's best is never chosen
        ((2, 2), (5, 3), "tie"),  # all own alike and no worse anchor: s_c > s_r does not hold
        ((2, 2), (1, 3), (0, 2)),  # but a worse anchor makes a pair of them
        ((None, None), (5, 3), "unscored"),
        ((None, 3), (None, None), "unscored"),  # one scored response is no pair
        ((3, None), (1, None), (0, 2)),
        ((None, 3), (4, None), "tie"),  # the policy's only response is its best and its worst
    ],
)
def test_anchored_rejection_is_the_papers_rule(
    own: tuple[float | None, ...], initial: tuple[float | None, ...], expected: tuple[int, int] | str
) -> None:
    outcome = pair_anchored(PROMPT, *both(own, initial, "initial"), drop_truncated=False)
    assert chosen_over_rejected(outcome) == expected


SCORES = st.lists(st.one_of(st.none(), st.integers(0, 4)), min_size=1, max_size=5)


@given(SCORES, SCORES)
def test_anchored_rejection_never_pairs_a_tie_and_chooses_the_policys_own(
    own: list[float | None], initial: list[float | None]
) -> None:
    rollouts, votes = both(own, initial, "initial")
    outcome = pair_anchored(PROMPT, rollouts[::-1], votes[::-1], drop_truncated=False)
    scores = [*own, *initial]
    found = [score for score in own if score is not None]
    every = [score for score in scores if score is not None]
    if outcome.pair is None:
        assert not found or max(found) == min(every)
        return
    assert outcome.pair.chosen.sampler == "policy"
    assert scores[outcome.pair.chosen.sample] == max(found) > min(every) == scores[outcome.pair.rejected.sample]
    assert outcome.pair.margin == max(found) - min(every)


def guided(future: Sequence[float | None], chosen: float | None, rejected: float | None) -> Responses:
    """The future policy's responses, and behind them the chosen and the rejected one of the round before."""
    rollouts, votes = responses("latest", *future)
    for name, score in ((CHOSEN_BEFORE, chosen), (REJECTED_BEFORE, rejected)):
        before = responses(name, score, first=len(rollouts))
        rollouts, votes = rollouts + before[0], votes + before[1]
    return rollouts, votes


@pytest.mark.parametrize(
    ("future", "before", "expected"),
    [
        ((3, 5), (4, 1), (1, 3)),  # 5 > 4: the future policy's best takes the place of the chosen one
        ((3, 4), (4, 1), (2, 3)),  # 4 is not higher than 4
        ((0, None), (4, 1), (2, 3)),  # one worse than the rejected one, and one that was not read
        ((None, None), (4, 1), (2, 3)),
        ((3, 1), (2, 2), (0, 3)),  # a tie before, but a better one now
        ((2, 1), (2, 2), "tie"),
        ((2, 1), (1, 3), "inverted"),
        ((3, 1), (1, 3), "tie"),
        ((4, 1), (1, 3), (0, 3)),
        ((5, 4), (None, 1), "no_pair_before"),
        ((5, 4), (3, None), "no_pair_before"),
    ],
)
def test_a_future_response_takes_the_place_of_a_chosen_one_that_scores_lower(
    future: tuple[float | None, ...], before: tuple[float | None, float | None], expected: tuple[int, int] | str
) -> None:
    rollouts, votes = guided(future, *before)
    assert chosen_over_rejected(pair_future_guided(PROMPT, rollouts, votes, drop_truncated=False)) == expected


def test_without_a_pair_in_the_round_before_there_is_none() -> None:
    rollouts, votes = responses("latest", 5, 1)
    assert chosen_over_rejected(pair_future_guided(PROMPT, rollouts, votes, drop_truncated=False)) == "no_pair_before"


def test_a_future_response_that_says_what_was_rejected_is_no_better() -> None:
    rollouts, votes = guided((5,), 4, 1)
    rollouts[0] = replace(rollouts[0], text=f" {rollouts[2].text}\n")
    assert chosen_over_rejected(pair_future_guided(PROMPT, rollouts, votes, drop_truncated=False)) == "identical"


def test_a_truncated_future_response_is_not_chosen_where_those_are_dropped() -> None:
    """5 is cut, so 4 of the round before stays; where cut ones are kept, 5 takes its place."""
    rollouts, votes = guided((5, 3), 4, 1)
    rollouts[0] = replace(rollouts[0], finish_reason="length")
    assert chosen_over_rejected(pair_future_guided(PROMPT, rollouts, votes, drop_truncated=True)) == (2, 3)
    assert chosen_over_rejected(pair_future_guided(PROMPT, rollouts, votes, drop_truncated=False)) == (0, 3)


def by_rule(own: list[float | None], other: list[float | None]) -> list[tuple[str, PairingOutcome, list[float | None]]]:
    """What each rule that takes a pair from somewhere else makes of the scores, which come by sample. The user's
    function takes the first over the last, whatever they are worth."""
    sourced, again = both(own, other, SOURCE), guided(own, other[0], other[-1])
    either = pair_by_function(
        PROMPT, *sourced, function=lambda prompt, found, scores: (found[0], found[-1]), drop_truncated=False
    )
    return [
        ("with_source", pair_with_source(PROMPT, *sourced, drop_truncated=False), [*own, *other]),
        ("future_guided", pair_future_guided(PROMPT, *again, drop_truncated=False), [*own, other[0], other[-1]]),
        ("function", either, [*own, *other]),
    ]


@given(SCORES, SCORES)
def test_no_rule_pairs_a_tie_or_the_worse_over_the_better(own: list[float | None], other: list[float | None]) -> None:
    """A pair's margin is the difference of its scores and above zero; a source's response is better than the rejected
    one too. Only a user's function may take what has no score: that pair has no margin."""
    for name, outcome, scores in by_rule(own, other):
        if outcome.pair is None:
            continue
        pair = outcome.pair
        chosen, rejected = scores[pair.chosen.sample], scores[pair.rejected.sample]
        if chosen is None or rejected is None:
            assert name == "function" and pair.margin is None
            continue
        assert pair.margin == chosen - rejected > 0, name
        if name == "with_source":
            source = pair.source and scores[pair.source.sample]
            assert source is not None and source > rejected


@pytest.mark.parametrize(
    ("own", "source", "expected"),
    [
        ((3, 5, 1), (4, 6), ((1, 2), 4)),
        ((3, 5, 1), (2, 2), ((1, 2), 3)),  # worse than the policy's best, better than its worst; the first of equals
        ((3, 5, 1), (1, 0), "inverted"),  # no better than what is rejected
        ((3, 5, 1), (None, None), "unsourced"),
        ((3, 3, 3), (9, 9), "tie"),  # the pair must be the policy's own
        ((3, None), (9, 1), "unscored"),
    ],
)
def test_a_triple_is_the_policys_best_and_worst_and_the_sources_best(
    own: tuple[float | None, ...], source: tuple[float | None, ...], expected: tuple[tuple[int, int], int] | str
) -> None:
    outcome = pair_with_source(PROMPT, *both(own, source, SOURCE), drop_truncated=False)
    if isinstance(expected, str):
        assert chosen_over_rejected(outcome) == expected
        return
    assert chosen_over_rejected(outcome) == expected[0]
    assert outcome.pair is not None and outcome.pair.source is not None
    assert (outcome.pair.source.sample, outcome.pair.source.sampler) == (expected[1], SOURCE)


def test_a_source_that_says_what_is_rejected_is_no_better() -> None:
    """The same text with another score: a vote is noise then."""
    rollouts, votes = both((3, 1), (2,), SOURCE)
    rollouts[2] = replace(rollouts[2], text=f" {rollouts[1].text}\n")
    assert chosen_over_rejected(pair_with_source(PROMPT, rollouts, votes, drop_truncated=False)) == "identical"


@pytest.mark.parametrize(("select", "other"), [(pair_anchored, "initial"), (pair_with_source, SOURCE)])
def test_truncated_responses_are_nobodys_where_they_are_dropped(
    select: Callable[..., PairingOutcome], other: str
) -> None:
    """The policy's are all cut: there is nothing to choose. Only the other's: as if they had not been sampled."""
    rollouts, votes = both((3, 1), (0, 4), other)
    cut = [replace(r, finish_reason="length") if r.sampler == "policy" else r for r in rollouts]
    assert chosen_over_rejected(select(PROMPT, cut, votes, drop_truncated=True)) == "truncated"
    cut = [replace(r, finish_reason="length") if r.sampler == other else r for r in rollouts]
    expected = "unsourced" if other == SOURCE else (0, 1)
    assert chosen_over_rejected(select(PROMPT, cut, votes, drop_truncated=True)) == expected
