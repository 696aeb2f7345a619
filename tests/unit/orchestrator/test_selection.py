"""Early stopping, and which moment of an update is kept."""

from itertools import pairwise
from typing import Literal

import pytest

from roundelay.orchestrator.config.schema import SelectionConfig
from roundelay.orchestrator.errors import RunError
from roundelay.orchestrator.round.selection import Selection

Metric = Literal["loss", "accuracy"]


def config(metric: Metric = "loss", *, every: int = 2, patience: int | None = None) -> SelectionConfig:
    return SelectionConfig(every_steps=every, metric=metric, patience=patience)


def measured(loss: float, **more: float) -> dict[str, float]:
    """An optimizer step after which the held-out pairs were measured."""
    return {"step": 1.0, "pairs": 4.0, "loss": 9.0, "heldout/loss": loss, **more}


def accurate(accuracy: float, name: str = "rewards/accuracies") -> dict[str, float]:
    return measured(1.0, **{f"heldout/{name}": accuracy})


PLAIN = {"step": 1.0, "pairs": 4.0, "loss": 0.1, "rewards/accuracies": 1.0}


def after(selection: Selection, steps: list[dict[str, float]]) -> list[bool]:
    """Whether each measurement, two steps apart, was the best so far."""
    return [selection.add(step, 2 * number) for number, step in enumerate(steps, start=1)]


def test_the_lowest_loss_is_the_best() -> None:
    """0.5 after 2 steps, 0.3 after 4, 0.4 after 6, 0.2 after 8."""
    selection = Selection(config=config())
    assert selection.best is None
    assert after(selection, [measured(0.5), measured(0.3), measured(0.4), measured(0.2)]) == [True, True, False, True]
    assert selection.best == 8
    assert after(selection, [measured(0.9)]) == [False]
    assert selection.best == 8


@pytest.mark.parametrize("name", ["rewards/accuracies", "accuracy"])
def test_the_highest_accuracy_is_the_best_whatever_the_loss(name: str) -> None:
    """Of a policy's implicit rewards, or of a reward model."""
    selection = Selection(config=config("accuracy"))
    steps = [accurate(0.5, name), accurate(0.75, name) | {"heldout/loss": 7.0}, accurate(0.6, name)]
    assert after(selection, steps) == [True, True, False]
    assert selection.best == 4


@pytest.mark.parametrize("metric", ["loss", "accuracy"])
def test_of_equally_good_moments_the_earliest_is_kept(metric: Metric) -> None:
    """Less was learnt until then; and an update that changes nothing of the measure runs out of patience."""
    selection = Selection(config=config(metric, patience=2))
    assert after(selection, [accurate(0.5), accurate(0.5), accurate(0.5)]) == [True, False, False]
    assert selection.best == 2
    assert selection.stopped


def test_a_first_measurement_is_the_best_however_bad() -> None:
    for selection, step in (
        (Selection(config=config()), measured(1e9)),
        (Selection(config=config("accuracy")), accurate(0.0)),
    ):
        assert selection.add(step, 2)
        assert selection.best == 2


def test_patience_counts_measurements_since_the_best_one() -> None:
    """Patience 2: one worse, then a new best, then two worse ones stop the update, and no sooner."""
    selection = Selection(config=config(patience=2))
    stopped = []
    for number, loss in enumerate([0.5, 0.6, 0.4, 0.41, 0.42], start=1):
        selection.add(measured(loss), 2 * number)
        stopped.append(selection.stopped)
    assert stopped == [False, False, False, False, True]
    assert selection.best == 6


def test_without_patience_an_update_goes_on_to_its_end() -> None:
    selection = Selection(config=config())
    after(selection, [measured(0.1), *([measured(0.5)] * 50)])
    assert not selection.stopped
    assert selection.best == 2


def test_a_measurement_falls_due_every_so_many_steps_however_they_come() -> None:
    """Every 4 steps. A shard may make no step, several, or more than 4 at once: one measurement after it, if a multiple
    of 4 was passed."""
    selection = Selection(config=config(every=4))
    counts = [0, 1, 3, 3, 4, 4, 7, 9, 20, 21]
    due = [now for before, now in pairwise(counts) if selection.due(before, now)]
    assert due == [4, 9, 20]


def test_an_interrupted_update_goes_on_with_what_its_steps_have_measured() -> None:
    """From the steps of a checkpoint: those measured after step 2, 4 and 6; the best after 4, one worse since."""
    steps = [PLAIN, measured(0.5), PLAIN, measured(0.3), PLAIN, measured(0.4), PLAIN]
    restored, continued = Selection.of(config(patience=2), steps), Selection(config=config(patience=2))
    after(continued, [measured(0.5), measured(0.3), measured(0.4)])
    assert restored == continued
    assert (restored.best, restored.stale, restored.stopped) == (4, 1, False)
    assert not restored.add(measured(0.3), 8)
    assert restored.stopped and restored.best == 4


def test_an_update_that_measured_nothing_yet_has_no_best_moment() -> None:
    """The accuracy on the step's own pairs is no measurement."""
    assert Selection.of(config("accuracy"), [PLAIN, PLAIN]) == Selection(config=config("accuracy"))


def test_an_objective_without_an_accuracy_cannot_be_selected_by_it() -> None:
    selection = Selection(config=config("accuracy"))
    with pytest.raises(RunError, match=r"learner\.selection\.metric=accuracy") as caught:
        selection.add(measured(0.5), 2)
    assert caught.value.remedy == "set learner.selection.metric=loss"
