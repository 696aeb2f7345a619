"""Hydra's sweep grammar as a list of runs."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roundelay.launch.run.sweeps import expand
from roundelay.orchestrator.errors import ConfigError


def test_every_combination_is_a_run_and_the_last_sweep_varies_fastest() -> None:
    assert expand(["a=1,2", "fixed=x", "b=3,4"]) == [
        ["a=1", "fixed=x", "b=3"],
        ["a=1", "fixed=x", "b=4"],
        ["a=2", "fixed=x", "b=3"],
        ["a=2", "fixed=x", "b=4"],
    ]


def test_overrides_without_a_sweep_are_one_run_as_they_were_written() -> None:
    plain = ["run.seed=3", "judge=additive", "+extra.key=[1,2]", "~tracking", "prompts.system='a, b'", "x=null"]
    assert expand(plain) == [plain]
    assert expand([]) == [[]]


@pytest.mark.parametrize(
    ("override", "values"),
    [
        ("lr=choice(1e-6,5e-7)", ["lr=1e-06", "lr=5e-07"]),
        ("run.seed=range(1,4)", ["run.seed=1", "run.seed=2", "run.seed=3"]),
        ("judge=additive,expected_score", ["judge=additive", "judge=expected_score"]),
        ("+new.key=1,2", ["+new.key=1", "+new.key=2"]),
        ("a=[1,2],[3]", ["a=[1,2]", "a=[3]"]),
        ("a={b:1},{b:2}", ["a={b:1}", "a={b:2}"]),
    ],
)
def test_each_form_of_a_sweep_gives_its_values(override: str, values: list[str]) -> None:
    assert [job for (job,) in expand([override])] == values


def test_a_quoted_value_stays_one_value_and_stays_quoted() -> None:
    """ "x, y" is text with a comma, not two values; unquoted in a run of its own it would become a sweep."""
    assert expand(["prompts.system='x, y',z"]) == [["prompts.system='x, y'"], ["prompts.system=z"]]
    assert all(len(expand(job)) == 1 for job in expand(["prompts.system='x, y',z", "a=[1,2],3"]))


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=4), max_size=4))
def test_the_runs_are_the_product_of_the_sweeps(sweeps: list[list[int]]) -> None:
    overrides = [f"k{place}={','.join(map(str, values))}" for place, values in enumerate(sweeps)]
    expected = [[f"k{place}={value}" for place, value in enumerate(values)] for values in itertools.product(*sweeps)]
    assert expand(overrides) == expected
    assert [run for job in expand(overrides) for run in expand(job)] == expected


@pytest.mark.parametrize("overrides", [["a=(("], ["a=1", "b"], ["a=1,"]])
def test_a_malformed_override_is_refused_with_a_remedy(overrides: list[str]) -> None:
    with pytest.raises(ConfigError, match="overrides cannot be read") as caught:
        expand(overrides)
    assert "quote" in caught.value.remedy
