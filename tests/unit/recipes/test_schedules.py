"""The learning rate over the progress of a round's update."""

import math
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundelay.recipes.schedules import learning_rate_factor

Schedule = Literal["constant", "linear", "cosine"]
UNIT = st.floats(0, 1)
SCHEDULES = st.sampled_from(("constant", "linear", "cosine"))


def factor(
    progress: float, schedule: Schedule, *, end: float | None = None, warmup: float = 0.0, final: float = 0.0
) -> float:
    """Of a step that ends at `end`; of one without length, where none is given."""
    end = progress if end is None else end
    return learning_rate_factor(progress, end=end, schedule=schedule, warmup_fraction=warmup, final_fraction=final)


def rates(steps: int, schedule: Schedule, *, warmup: float, final: float = 0.0) -> list[float]:
    """Of an update of so many equal steps."""
    return [factor(k / steps, schedule, end=(k + 1) / steps, warmup=warmup, final=final) for k in range(steps)]


@pytest.mark.parametrize("total", [1, 3, 8, 100])
def test_linear_without_warmup_is_that_of_transformers(total: int) -> None:
    """Step k of `total` has k/total behind it, and transformers' linear schedule gives it (total − k)/total."""
    for k in range(total + 1):
        assert factor(k / total, "linear") == pytest.approx((total - k) / total, abs=1e-12)


def test_warmup_rises_from_zero_to_the_peak_and_linear_falls_from_there() -> None:
    """Warm-up over the first quarter: at 1/8 half the peak, at 1/4 the peak, halfway to the end (5/8) half of it."""
    values = [factor(progress, "linear", warmup=0.25) for progress in (0.0, 0.125, 0.25, 0.625, 1.0)]
    assert values == pytest.approx([0.0, 0.5, 1.0, 0.5, 0.0])


def test_a_warmup_counts_a_step_by_its_end() -> None:
    """Ten steps, four of them warm-up: the first has a quarter of the peak, the fourth all of it. Linear then falls by
    where a step begins: (1 − 0.4)/0.6 at the fifth, (1 − 0.9)/0.6 = 1/6 at the last."""
    found = rates(10, "linear", warmup=0.4)
    assert found[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert found[-1] == pytest.approx(1 / 6)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_a_warmup_shorter_than_a_step_is_none(schedule: Schedule) -> None:
    """One step a round, a tenth of it warm-up: it has the whole rate."""
    assert rates(1, schedule, warmup=0.1) == [1.0]
    assert rates(2, schedule, warmup=0.1)[0] == 1.0


@given(steps=st.integers(1, 200), schedule=SCHEDULES, warmup=UNIT, final=UNIT)
def test_no_step_of_any_update_has_rate_zero(steps: int, schedule: Schedule, warmup: float, final: float) -> None:
    assert all(0 < rate <= 1 for rate in rates(steps, schedule, warmup=warmup, final=final))


def test_cosine_starts_at_the_peak_and_ends_at_the_final_fraction() -> None:
    """cos(π/3) = 1/2, so a third of the way 3/4 of the fall from 1 to 0.1 is left: 0.1 + 0.9·0.75 = 0.775."""
    values = [factor(progress, "cosine", final=0.1) for progress in (0.0, 1 / 3, 0.5, 1.0)]
    assert values == pytest.approx([1.0, 0.775, 0.55, 0.1])


def test_linear_ends_at_the_final_fraction() -> None:
    """Halfway between 1 and 0.2 is 0.6."""
    assert [factor(p, "linear", final=0.2) for p in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.6, 0.2])


def test_constant_stays_at_the_peak_after_warmup_whatever_the_final_fraction() -> None:
    assert [factor(p, "constant", warmup=0.5, final=0.1) for p in (0.25, 0.5, 0.75, 1.0)] == [0.5, 1.0, 1.0, 1.0]


@given(progress=UNIT, schedule=SCHEDULES, warmup=UNIT, final=UNIT)
def test_the_factor_stays_between_0_and_1(progress: float, schedule: Schedule, warmup: float, final: float) -> None:
    value = factor(progress, schedule, warmup=warmup, final=final)
    assert 0.0 <= value <= 1.0 and not math.isnan(value)


@given(a=UNIT, b=UNIT, schedule=SCHEDULES, warmup=st.floats(0, 0.9), final=UNIT)
def test_the_factor_rises_in_warmup_and_never_after_it(
    a: float, b: float, schedule: Schedule, warmup: float, final: float
) -> None:
    early, late = sorted((a, b))
    first, second = (factor(progress, schedule, warmup=warmup, final=final) for progress in (early, late))
    if late < warmup:
        assert first <= second
    if early >= warmup:
        assert first >= second - 1e-12
        assert second >= min(final, 1.0) - 1e-12
