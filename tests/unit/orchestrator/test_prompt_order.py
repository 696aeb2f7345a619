"""Which prompts a round sees: none again before all were used, none twice in a round, the same after every restart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roundelay.orchestrator.prompt_order import round_indices


@st.composite
def walks(draw: st.DrawFn) -> tuple[int, int, int, list[list[int]]]:
    """(prompts in all, prompts a round, seed, rounds) over several passes, most of them straddled by a round."""
    num_prompts = draw(st.integers(1, 25))
    prompts_per_round = draw(st.integers(1, num_prompts))
    seed = draw(st.integers(0, 2**31))
    num_rounds = -(-4 * num_prompts // prompts_per_round)
    return (
        num_prompts,
        prompts_per_round,
        seed,
        [one(num_prompts, prompts_per_round, r, seed) for r in range(1, num_rounds + 1)],
    )


def one(num_prompts: int, prompts_per_round: int, round: int, seed: int) -> list[int]:
    return round_indices(num_prompts=num_prompts, prompts_per_round=prompts_per_round, round=round, seed=seed).tolist()


@settings(deadline=None)
@given(walks())
def test_no_prompt_is_repeated_before_all_are_used(walk: tuple[int, int, int, list[list[int]]]) -> None:
    """The rounds end to end fall into passes of `num_prompts`: each of them holds every prompt once."""
    num_prompts, prompts_per_round, _, rounds = walk
    assert {len(indices) for indices in rounds} == {prompts_per_round}
    sequence = [index for indices in rounds for index in indices]
    for start in range(0, len(sequence) - num_prompts + 1, num_prompts):
        assert sorted(sequence[start : start + num_prompts]) == list(range(num_prompts))
    rest = sequence[len(sequence) // num_prompts * num_prompts :]
    assert len(set(rest)) == len(rest)


@settings(deadline=None)
@given(walks())
def test_no_round_holds_a_prompt_twice_even_where_it_straddles_two_passes(
    walk: tuple[int, int, int, list[list[int]]],
) -> None:
    for indices in walk[3]:
        assert len(set(indices)) == len(indices)


@settings(deadline=None)
@given(walks())
def test_a_round_is_the_same_whichever_rounds_were_asked_for_before(
    walk: tuple[int, int, int, list[list[int]]],
) -> None:
    """A resumed run asks for round N alone: here the rounds are asked for again in reverse."""
    num_prompts, prompts_per_round, seed, rounds = walk
    for number in range(len(rounds), 0, -1):
        assert one(num_prompts, prompts_per_round, number, seed) == rounds[number - 1]


def test_the_order_never_changes_and_belongs_to_the_seed() -> None:
    """Golden order of a straddling walk (5 prompts, 3 a round: round 2 takes two of pass 1 and one of pass 2)."""
    assert [one(5, 3, number, 0) for number in (1, 2, 3)] == [[0, 2, 4], [3, 1, 0], [3, 1, 4]]
    assert one(50, 50, 1, 0) != one(50, 50, 1, 1)
    assert one(50, 50, 1, 0) != one(50, 50, 2, 0)


def test_changing_a_returned_round_changes_no_later_one() -> None:
    indices = round_indices(num_prompts=6, prompts_per_round=6, round=1, seed=3)
    before = indices.copy()
    indices[:] = 0
    assert np.array_equal(round_indices(num_prompts=6, prompts_per_round=6, round=1, seed=3), before)


def test_the_first_places_of_a_round_are_drawn_uniformly() -> None:
    """Over 600 seeds each of 4 prompts comes first 150 ± 11 times: 95–205 is five standard deviations."""
    first = [one(4, 2, 1, seed)[0] for seed in range(600)]
    assert all(95 < first.count(index) < 205 for index in range(4))


def test_more_prompts_a_round_than_there_are_is_an_error() -> None:
    with pytest.raises(ValueError, match="5 prompts a round, but only 4"):
        round_indices(num_prompts=4, prompts_per_round=5, round=1, seed=0)
