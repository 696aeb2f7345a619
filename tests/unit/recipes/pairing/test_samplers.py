"""Pairs from several samplers' responses: Temporal Self-Rewarding's anchors and WRPO's triples, worked by hand."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundelay.orchestrator.records import Judgment, Message, PairingOutcome, Prompt, Rollout
from roundelay.recipes.pairing.anchored import pair_anchored
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
