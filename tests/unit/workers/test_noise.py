"""SPA's rolling threshold: which recent margins count, and from when on."""

import pytest

from roundelay.orchestrator.parts.objective import ReferenceConfig
from roundelay.recipes.objectives.sft import SftObjective
from roundelay.recipes.objectives.spa import SpaObjective
from roundelay.workers.noise import NoiseWindow


def window_of(*, window: int, fraction: float) -> NoiseWindow:
    return NoiseWindow.of(
        SpaObjective(
            kind="spa",
            beta=0.1,
            label_smoothing=0.1,
            threshold="official_code",
            noisy_fraction=fraction,
            window=window,
            start=0.2,
            extrapolation=0.5,
            reference=ReferenceConfig(policy="previous", logps="recompute"),
        ).noise()
    )


def thresholds(noise: NoiseWindow, margins: list[float]) -> list[float]:
    """The threshold after each margin."""
    found = []
    for margin in margins:
        noise.add(margin)
        found.append(noise.threshold())
    return found


def test_until_the_window_is_full_the_threshold_is_0() -> None:
    """Five margins at a fraction of 1/5: k = 1, so the mean of the second and third smallest, (2 + 3)/2."""
    noise = window_of(window=5, fraction=0.2)
    assert noise.threshold() == 0.0
    assert thresholds(noise, [5.0, 1.0, 4.0, 2.0]) == [0.0] * 4
    assert thresholds(noise, [3.0]) == [2.5]


def test_a_full_window_forgets_the_oldest_margin() -> None:
    """After 5 1 4 2 3 comes 10 for the 5: of 1 2 3 4 10 the second and third are 2 and 3, as before; then 10 for the
    1: of 2 3 4 10 10 they are 3 and 4."""
    noise = window_of(window=5, fraction=0.2)
    assert thresholds(noise, [5.0, 1.0, 4.0, 2.0, 3.0, 10.0, 10.0])[4:] == [2.5, 2.5, 3.5]


def test_the_authors_window_of_50_puts_the_threshold_between_the_sixth_and_seventh_margin() -> None:
    """At K = 10%: k = 5 counted from 0. Of 0 … 49 these are 5 and 6."""
    assert thresholds(window_of(window=50, fraction=0.1), [float(margin) for margin in range(50)])[-1] == 5.5


def test_every_round_starts_with_an_empty_window() -> None:
    noise = window_of(window=2, fraction=0.0)
    thresholds(noise, [3.0, 4.0])
    assert noise.threshold() == 3.5
    assert window_of(window=2, fraction=0.0).threshold() == 0.0


def test_other_objectives_remember_nothing() -> None:
    noise = NoiseWindow.of(SftObjective(kind="sft").noise())
    assert thresholds(noise, [1.0, 2.0]) == [0.0, 0.0]
    assert not noise.margins


@pytest.mark.parametrize("window", [1, 3])
def test_a_fraction_of_the_whole_window_has_no_threshold(window: int) -> None:
    """Nothing lies above the largest margin: refused by name, not an index error."""
    noise = window_of(window=window, fraction=1.0)
    for margin in range(window):
        noise.add(float(margin))
    with pytest.raises(ValueError, match="bottom_threshold"):
        noise.threshold()
