"""Fresh evaluation subsets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundelay.orchestrator.prompts.subset import fresh_subset

IDS = [f"p{number}" for number in range(10)]


def test_subsets_do_not_overlap_until_all_are_used() -> None:
    """10 ids in parts of 3: three draws share nothing; the fourth takes the one that is left, and two anew."""
    draws = [fresh_subset(IDS, size=3, draw=draw, seed=7) for draw in range(4)]
    used = [one for chosen in draws[:3] for one in chosen]
    assert len(set(used)) == 9
    assert set(IDS) - set(used) < set(draws[3])


@given(size=st.integers(1, 10), seed=st.integers(0, 50), draws=st.integers(1, 12))
def test_no_id_is_used_twice_more_often_than_another(size: int, seed: int, draws: int) -> None:
    """No draw holds an id twice, and after any number of draws the counts of use differ by at most one."""
    counts = dict.fromkeys(IDS, 0)
    for draw in range(draws):
        chosen = fresh_subset(IDS, size=size, draw=draw, seed=seed)
        assert len(chosen) == len(set(chosen)) == size
        for one in chosen:
            counts[one] += 1
    assert max(counts.values()) - min(counts.values()) <= 1


def test_a_draw_can_be_made_again_and_hangs_on_the_seed() -> None:
    assert fresh_subset(IDS, size=4, draw=1, seed=1) == fresh_subset(IDS, size=4, draw=1, seed=1)
    assert len({tuple(fresh_subset(IDS, size=4, draw=0, seed=seed)) for seed in range(8)}) > 1


def test_the_next_round_through_is_shuffled_anew() -> None:
    first = [tuple(fresh_subset(IDS, size=5, draw=draw, seed=3)) for draw in (0, 1)]
    second = [tuple(fresh_subset(IDS, size=5, draw=draw, seed=3)) for draw in (2, 3)]
    assert {*first} != {*second}


@pytest.mark.parametrize("size", [0, 11])
def test_a_size_that_cannot_be_drawn_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="cannot be drawn"):
        fresh_subset(IDS, size=size, draw=0, seed=0)
