"""Errors arrive from actors as they were raised there."""

import pickle

import pytest

from roundelay.orchestrator.errors import ConfigError, DamagedFile, NonFiniteError, RunError


@pytest.mark.parametrize("kind", [ConfigError, RunError, DamagedFile])
def test_an_error_that_travels_keeps_its_kind_its_words_and_its_remedy(kind: type[RunError]) -> None:
    error = kind("the learner differs", "set objective.reference.logps=recompute")
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is kind
    assert (arrived.what, arrived.remedy, str(arrived)) == (error.what, error.remedy, str(error))


def test_an_error_of_numbers_travels_too() -> None:
    assert str(pickle.loads(pickle.dumps(NonFiniteError("step 3 on ['p0']")))) == "step 3 on ['p0']"
