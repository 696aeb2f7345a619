"""Which prompts a round sees: none again before all were used, none twice in a round, the same after every restart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundelay.orchestrator.prompts.order import round_indices

Walk = tuple[int, int, list[int], list[list[int]]]  # prompts in all, seed, the rounds' sizes, the rounds


@st.composite
def walks(draw: st.DrawFn) -> Walk:
    """Rounds of one size, or of a size of each's own, over several passes, most of them straddled by a round."""
    num_prompts = draw(st.integers(1, 25))
    size = st.integers(1, num_prompts)
    sizes = draw(
        st.one_of(size.map(lambda one: [one] * -(-4 * num_prompts // one)), st.lists(size, min_size=1, max_size=20))
    )
    seed = draw(st.integers(0, 2**31))
    return num_prompts, seed, sizes, [of_sizes(num_prompts, sizes[:r], seed) for r in range(1, len(sizes) + 1)]


def of_sizes(num_prompts: int, sizes: list[int], seed: int) -> list[int]:
    """The last of rounds of these sizes."""
    return round_indices(num_prompts=num_prompts, round_sizes=sizes, seed=seed).tolist()


def one(num_prompts: int, prompts_per_round: int, round: int, seed: int) -> list[int]:
    return of_sizes(num_prompts, [prompts_per_round] * round, seed)


@given(walks())
def test_no_prompt_is_repeated_before_all_are_used(walk: Walk) -> None:
    """The rounds end to end fall into passes of `num_prompts`: each of them holds every prompt once."""
    num_prompts, _, sizes, rounds = walk
    assert [len(indices) for indices in rounds] == sizes
    sequence = [index for indices in rounds for index in indices]
    for start in range(0, len(sequence) - num_prompts + 1, num_prompts):
        assert sorted(sequence[start : start + num_prompts]) == list(range(num_prompts))
    rest = sequence[len(sequence) // num_prompts * num_prompts :]
    assert len(set(rest)) == len(rest)


@given(walks())
def test_no_round_holds_a_prompt_twice_even_where_it_straddles_two_passes(walk: Walk) -> None:
    for indices in walk[3]:
        assert len(set(indices)) == len(indices)


@given(walks())
def test_a_round_is_the_same_whichever_rounds_were_asked_for_before(walk: Walk) -> None:
    """A resumed run asks for round N alone: here the rounds are asked for again in reverse."""
    num_prompts, seed, sizes, rounds = walk
    for number in range(len(rounds), 0, -1):
        assert of_sizes(num_prompts, sizes[:number], seed) == rounds[number - 1]


def test_the_order_never_changes_and_belongs_to_the_seed() -> None:
    """Golden order of straddling walks through 5 prompts: 3 a round, where round 2 takes two of pass 1 and one of
    pass 2; and rounds of 4, 2 and 3, where it takes one of each."""
    assert [one(5, 3, number, 0) for number in (1, 2, 3)] == [[0, 2, 4], [3, 1, 0], [3, 1, 4]]
    assert [of_sizes(5, [4, 2, 3][:number], 0) for number in (1, 2, 3)] == [[0, 2, 4, 3], [1, 3], [0, 1, 4]]
    assert one(50, 50, 1, 0) != one(50, 50, 1, 1)
    assert one(50, 50, 1, 0) != one(50, 50, 2, 0)


def test_changing_a_returned_round_changes_no_later_one() -> None:
    indices = round_indices(num_prompts=6, round_sizes=[6], seed=3)
    before = indices.copy()
    indices[:] = 0
    assert np.array_equal(round_indices(num_prompts=6, round_sizes=[6], seed=3), before)


def test_the_first_places_of_a_round_are_drawn_uniformly() -> None:
    """Over 600 seeds each of 4 prompts comes first 150 ± 11 times: 95–205 is five standard deviations."""
    first = [one(4, 2, 1, seed)[0] for seed in range(600)]
    assert all(95 < first.count(index) < 205 for index in range(4))


def test_more_prompts_a_round_than_there_are_is_an_error() -> None:
    for sizes in ([5], [5, 2], [2, 5]):
        with pytest.raises(ValueError, match="5 prompts a round, but only 4"):
            round_indices(num_prompts=4, round_sizes=sizes, seed=0)
