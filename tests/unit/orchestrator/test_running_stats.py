"""Means, correlations and ranks, by hand and beside numpy's."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from roundelay.orchestrator.measure.running_stats import Correlation, Mean, PartialCorrelation, spearman


def correlation(points: Sequence[tuple[float, float]]) -> float | None:
    running = Correlation()
    for x, y in points:
        running.add(x, y)
    return running.value


COORDINATES = st.integers(-1000, 1000).map(lambda value: value / 8)


@given(
    points=st.lists(st.tuples(COORDINATES, COORDINATES), min_size=2, max_size=40), offset=st.sampled_from([0.0, 1e6])
)
def test_the_running_correlation_is_numpys(points: list[tuple[float, float]], offset: float) -> None:
    """Also far from the origin, where sums of squares would lose all digits."""
    x, y = (np.array(side) + offset for side in zip(*points, strict=True))
    assume(x.std() > 0 and y.std() > 0)
    assert correlation(list(zip(x, y, strict=True))) == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-6)


@pytest.mark.parametrize("points", [[], [(1.0, 2.0)], [(0.1, 1.0), (0.1, 2.0), (0.1, 3.0)], [(1.0, 0.3), (2.0, 0.3)]])
def test_a_correlation_of_nothing_or_with_a_constant_is_undefined(points: list[tuple[float, float]]) -> None:
    assert correlation(points) is None


def test_a_line_correlates_fully_in_its_direction() -> None:
    assert correlation([(1, 2), (2, 4), (3, 6)]) == pytest.approx(1)
    assert correlation([(1, 6), (2, 4), (3, 2)]) == pytest.approx(-1)


def test_the_mean_of_nothing_is_undefined_and_not_zero() -> None:
    mean = Mean()
    assert mean.value is None
    for value in (1.0, 2.0, 6.0):
        mean.add(value)
    assert mean.value == 3.0


A, B, C = (-1, -1, 1, 1), (-1, 1, -1, 1), (1, -1, -1, 1)  # orthogonal to each other, each of mean 0


def partial(x: Sequence[float], y: Sequence[float], z: Sequence[float]) -> float | None:
    running = PartialCorrelation()
    for point in zip(x, y, z, strict=True):
        running.add(*point)
    return running.value


def test_what_two_numbers_share_only_through_a_third_one_is_taken_out() -> None:
    """x = a + b. y = a + c shares a alone with it: 0. y = a + b + c leaves b of x and b + c of y beside z = a, which
    correlate by 4/(2·√8) = 1/√2. y = a − b leaves −b: −1."""
    x = [a + b for a, b in zip(A, B, strict=True)]
    y = {
        0.0: [a + c for a, c in zip(A, C, strict=True)],
        2**-0.5: [a + b + c for a, b, c in zip(A, B, C, strict=True)],
        -1.0: [a - b for a, b in zip(A, B, strict=True)],
    }
    for expected, values in y.items():
        assert partial(x, values, A) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("x", "y", "z"),
    [(A, A, A), (A, B, (2, 2, 2, 2)), ((1, 1, 1, 1), B, C), (A, B, B), ((1, 2), (2, 1), (3, 5)), ((), (), ())],
    ids=["z is both", "constant z", "constant x", "z is y", "two points", "nothing"],
)
def test_a_partial_correlation_without_anything_left_is_undefined(
    x: Sequence[float], y: Sequence[float], z: Sequence[float]
) -> None:
    assert partial(x, y, z) is None


def test_the_rank_correlation_is_spearmans_by_hand() -> None:
    """Ranks 1 2 3 4 and 1 3 2 4: Σd² = 2, 1 − 6·2/(4·15) = 0.8, however far apart the numbers are."""
    assert spearman([0.1, 0.2, 5.0, 100.0], [-7.0, 4.0, 3.0, 4.5]) == pytest.approx(0.8)


def test_equal_numbers_share_the_mean_of_their_ranks() -> None:
    """1 2 2 3 has the ranks 1, 2½, 2½, 4. Beside 1 2 3 4: Σxy = 4.5, Σx² = 4.5, Σy² = 5, so 4.5/√22.5."""
    assert spearman([1, 2, 2, 3], [10, 20, 30, 40]) == pytest.approx(4.5 / 22.5**0.5)


@pytest.mark.parametrize(("x", "y"), [([], []), ([1.0], [2.0]), ([1.0, 2.0], [3.0, 3.0])])
def test_a_rank_correlation_of_nothing_or_with_equal_numbers_is_undefined(x: list[float], y: list[float]) -> None:
    assert spearman(x, y) is None


@given(st.lists(st.tuples(COORDINATES, COORDINATES), min_size=2, max_size=30))
def test_a_rank_correlation_sees_order_alone(points: list[tuple[float, float]]) -> None:
    """A rising function of either side changes nothing; a falling one turns the sign."""
    x, y = [float(point[0]) for point in points], [float(point[1]) for point in points]
    found = spearman(x, y)
    cubes, falls = spearman([value**3 for value in x], y), spearman(x, [-value for value in y])
    if found is None:
        assert cubes is None and falls is None
    else:
        assert cubes == pytest.approx(found) and falls == pytest.approx(-found)
