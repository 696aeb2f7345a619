"""A part of the user's own: one module outside the repository, one YAML beside it, and it is a kind like any other."""

import subprocess
from pathlib import Path

import pytest
from support.runs import ROUNDELAY

FILTER = '''
"""Keep short responses."""

from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from roundelay.orchestrator.fields import STRICT, PositiveInt
from roundelay.orchestrator.data.filtering import Decision
from roundelay.orchestrator.parts.filter import FilterPart
from roundelay.orchestrator.parts.registry import part


@part("filter")
class ShortFilter(FilterPart):
    """Pairs whose chosen response is short."""

    kind: Literal["short"]
    max_chars: PositiveInt
    takes_pairs: ClassVar[bool] = True

    def sentence(self) -> str:
        return f"Pairs whose chosen response has at most {self.max_chars} characters."

    def build(self, seed: int):
        return lambda rows: Decision(dropped=[None if n <= self.max_chars else "long" for n in rows["chars"]])
'''


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder of the user's with a filter and its YAML."""
    (tmp_path / "my_filter.py").write_text(FILTER)
    (tmp_path / "configs" / "filter").mkdir(parents=True)
    (tmp_path / "configs" / "filter" / "short.yaml").write_text("kind: short\nmax_chars: 80\n")
    return tmp_path


def roundelay(mine: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROUNDELAY, *words, "--config-dir", str(mine / "configs")],
        env={"PYTHONPATH": str(mine), "HF_HUB_OFFLINE": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


RUN = ("run", "--dry-run", "model=local", "model.path=/none", "filter=short")


def test_a_module_of_the_users_brings_a_kind(mine: Path) -> None:
    """In the configuration that the run keeps, in its plan, and in its errors."""
    done = roundelay(mine, *RUN, "--parts", "my_filter")
    assert done.returncode == 0, done.stderr
    assert "parts:\n- my_filter\n" in done.stdout and "max_chars: 80" in done.stdout
    assert "short, as shards come" in done.stdout
    refused = roundelay(mine, *RUN, "parts=[my_filter]", "filter.max_chars=0")
    assert refused.returncode == 2
    assert "filter.max_chars=0" in refused.stderr and "greater than 0" in refused.stderr


def test_cross_part_rules_hold_for_it_by_its_traits(mine: Path) -> None:
    refused = roundelay(mine, *RUN, "--parts", "my_filter", "pairing=group", "pairing.min_responses=2",
                        "pairing.ties=drop", "objective=rrhf")  # fmt: skip
    assert refused.returncode == 2
    assert "filter.kind=short goes by the two responses of a pair" in refused.stderr


@pytest.mark.parametrize(
    ("module", "told"),
    [
        (None, "filter.kind=short: no such kind"),
        ("absent", "parts=[absent]: cannot import absent"),
        ("broken", "parts=[broken]: importing broken raises SyntaxError"),
        ("second", "filter.kind=rip is roundelay.recipes.filters.rip.RipFilter already"),
        ("../my_filter", "parts=[../my_filter]: this is no module's name"),
    ],
)
def test_a_module_that_brings_nothing_is_named(mine: Path, module: str | None, told: str) -> None:
    (mine / "broken.py").write_text("def f(:\n")
    (mine / "second.py").write_text(FILTER.replace('Literal["short"]', 'Literal["rip"]'))
    done = roundelay(mine, *RUN, *(() if module is None else (f"parts=['{module}']",)))
    assert done.returncode == 2
    assert told.lower() in done.stderr.lower() and "Traceback" not in done.stderr
