"""The mutation script makes the mutants it is to make, and tells a test that would notice one from one that would not.

The script runs on its own (`python tests/mutate_objectives.py`); here it meets small functions only.
"""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import mutate_objectives
import pytest
from mutate_objectives import EQUIVALENT, outcomes
from support.mutants import MODULE_LEVEL, Mutant, apply, mutants_of

SCRIPT = str(mutate_objectives.__file__)
SAMPLE = '''
"""A margin of 1 - 2, in words."""
import math
from typing import TypeAlias

Number: TypeAlias = int | float
HALF = 1 / 2


def loss(chosen: float, rejected: float | None, *, floor: float = -1.0) -> float:
    """chosen - rejected"""
    assert floor < 0, "a - b"
    if rejected is None:
        raise ValueError(f"no {floor - 1}")
    return -max(chosen - HALF * rejected, floor)


class Batch:
    size: int = 1 + 1

    @property
    def total(self) -> float:
        return (lambda value: value + self.size)(3)
'''


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "sample.py"
    path.write_text(SAMPLE)
    return path


def changes(path: Path, body: str, function: str = "f") -> set[str]:
    """The mutants of a function with this body."""
    path.write_text(f"def {function}(a, b, c=1 + 2):\n    {body}\n")
    return {mutant.change for mutant in mutants_of(path)}


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_sign_and_every_term_of_a_sample_is_mutated_and_nothing_else(sample: Path) -> None:
    """Not annotations, defaults, docstrings, asserts, raised messages, fields and type aliases."""
    assert [(mutant.function, mutant.change) for mutant in mutants_of(sample)] == [
        (MODULE_LEVEL, "1 / 2 → 1"),
        (MODULE_LEVEL, "1 → 2"),
        (MODULE_LEVEL, "2 → 3"),
        ("loss", "rejected is None → rejected is not None"),
        ("loss", "-max(chosen - HALF * rejected, floor) → max(chosen - HALF * rejected, floor)"),
        ("loss", "max(chosen - HALF * rejected, floor) → min(chosen - HALF * rejected, floor)"),
        ("loss", "chosen - HALF * rejected → chosen + HALF * rejected"),
        ("loss", "chosen - HALF * rejected → chosen"),
        ("loss", "chosen - HALF * rejected → -(HALF * rejected)"),
        ("loss", "HALF * rejected → HALF"),
        ("loss", "HALF * rejected → rejected"),
        ("Batch.total", "value + self.size → value - self.size"),
        ("Batch.total", "value + self.size → value"),
        ("Batch.total", "value + self.size → self.size"),
        ("Batch.total", "3 → 4"),
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return a / b", {"a / b → a"}),
        ("return a ** b", {"a ** b → a"}),
        ("return a > b", {"a > b → a < b", "a > b → a >= b"}),
        ("return a == b and c", {"a == b and c → a == b or c", "a == b → a != b"}),
        ("return ~a", {"~a → a"}),
        ("a += b", {"a += b → a -= b"}),
        ("return a if b else c", {"a if b else c → a", "a if b else c → c"}),
        ("return F.relu(a)", {"F.relu(a) → a"}),
        ("return a.detach()", {"a.detach() → a"}),
        ("return a.sum(dim=-1)", {"a.sum(dim=-1) → a.mean(dim=-1)"}),
        ("return a.means(b)", {"a.means(b) → a.sums(b)"}),
        ("return a.clamp(min=b)", {"a.clamp(min=b) → a", "a.clamp(min=b) → a.clamp(max=b)"}),
        ("return torch.where(a, b, c)", {"torch.where(a, b, c) → b", "torch.where(a, b, c) → c"}),
        ("return torch.cat([a, b])", {"torch.cat([a, b]) → torch.cat([b])", "torch.cat([a, b]) → torch.cat([a])"}),
        ("return {'x': a, 'y': b}", {"{'x': a, 'y': b} → {'y': b}", "{'x': a, 'y': b} → {'x': a}"}),
        ("return a.sort(descending=True)", {"a.sort(descending=True) → a.sort(descending=False)"}),
        ("return replace(a, x=b)", {"replace(a, x=b) → replace(a)"}),
        ("return f'{a - b}'", set()),
        ("return zip(a, b, strict=True)", set()),
    ],
)
def test_the_mutants_of_one_expression(body: str, expected: set[str], tmp_path: Path) -> None:
    assert changes(tmp_path / "sample.py", body) == expected


def test_a_mutant_changes_the_function_for_all_who_have_imported_it(sample: Path) -> None:
    """Functions, properties with a lambda within, and constants."""
    expected = {
        "HALF * rejected → rejected": -1.0,  # −max(4 − 3, −1)
        "-max(chosen - HALF * rejected, floor) → max(chosen - HALF * rejected, floor)": 2.5,
        "1 / 2 → 1": -1.0,
        "value + self.size → value - self.size": 1,
    }
    for mutant in mutants_of(sample):
        if mutant.change in expected:
            module = loaded(sample)
            loss, batch = module.loss, module.Batch()
            apply(mutant, module)
            value = batch.total if mutant.function == "Batch.total" else loss(4.0, 3.0)
            assert value == expected.pop(mutant.change)
    assert not expected


def survivors(path: Path, passes: Callable[[ModuleType], bool]) -> list[str]:
    """The mutants on which a test still passes, of which a test that raises is none."""
    module = loaded(path)

    def is_caught(mutant: Mutant) -> bool:
        apply(mutant, module)
        try:
            return not passes(module)
        except Exception:
            return True

    judged = list(outcomes(mutants_of(path), is_caught, jobs=2))
    assert {outcome for _, outcome in judged} <= {"caught", "survived"}
    assert module.loss(4.0, 3.0) == -2.5, "a mutant has left its child"
    return sorted(mutant.change for mutant, outcome in judged if outcome == "survived")


def test_a_weak_test_leaves_survivors_and_a_strong_one_none(sample: Path) -> None:
    """With a rejected log-prob of 0, whatever multiplies it goes unnoticed, and so does its sign."""

    def weak(module: ModuleType) -> bool:
        return module.loss(4.0, 0.0) == -4.0 and module.Batch().total == 5

    def strong(module: ModuleType) -> bool:
        return module.loss(4.0, 3.0) == -2.5 and module.loss(-4.0, 3.0) == 1.0 and weak(module)

    assert survivors(sample, weak) == [
        "1 / 2 → 1",
        "1 → 2",
        "2 → 3",
        "HALF * rejected → rejected",
        "chosen - HALF * rejected → chosen",
        "chosen - HALF * rejected → chosen + HALF * rejected",
    ]
    assert survivors(sample, strong) == []


def test_a_mutant_that_does_not_end_is_killed_and_a_broken_run_is_an_error(sample: Path) -> None:
    """What fails in the script itself must not count as caught."""
    mutant = mutants_of(sample)[0]

    def endless(_: Mutant) -> bool:
        while True:
            pass

    def broken(_: Mutant) -> bool:
        raise AssertionError("not a test's")

    assert list(outcomes([mutant], endless, jobs=1, seconds=0.1)) == [(mutant, "killed")]
    with pytest.raises(RuntimeError, match="could not be run"):
        list(outcomes([mutant], broken, jobs=1))


MARGIN = "def margin(a, b):\n    return a - b\n"


def run_script(folder: Path, test: str) -> subprocess.CompletedProcess[str]:
    """The script as it is, on a package of one module and one test."""
    package, tests = folder / "sample_objectives", folder / "sample_tests"
    package.mkdir()
    tests.mkdir()
    (package / "__init__.py").touch()
    (package / "margins.py").write_text(MARGIN)
    (tests / "test_margins.py").write_text(f"from sample_objectives.margins import margin\n{test}\n")
    program = (
        f"import sys; from pathlib import Path; sys.path[:0] = [{str(folder)!r}, {str(Path(SCRIPT).parent)!r}]\n"
        "import mutate_objectives as script; script.EQUIVALENT = {}; script.PACKAGE = 'sample_objectives'\n"
        f"script.SOURCES, script.TESTS = Path({str(package)!r}), Path({str(tests)!r})\n"
        "sys.exit(script.main())"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)


def counts(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Mutants, caught, killed, equivalent, survived: the last row of the table."""
    (row,) = (line for line in done.stdout.splitlines() if line.startswith("│ all"))
    return [cell.strip() for cell in row.strip("│").split("│")][1:]


def test_the_script_passes_if_every_mutant_is_caught(tmp_path: Path) -> None:
    done = run_script(tmp_path, "def test_margin(): assert margin(5, 2) == 3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert counts(done) == ["3", "3", "0", "0", "0"]


def test_the_script_names_the_survivors_of_a_weak_test(tmp_path: Path) -> None:
    done = run_script(tmp_path, "def test_margin(): assert margin(5, 0) == 5")
    assert done.returncode == 1
    assert counts(done) == ["3", "1", "0", "0", "2"]
    survived = f"survived: {tmp_path}/sample_objectives/margins.py:2 in margin\n    a - b\n    became "
    assert f"{survived}a + b\n" in done.stdout and f"{survived}a\n" in done.stdout


@pytest.mark.parametrize(
    ("test", "says"),
    [
        ("def test_margin(): assert margin(5, 2) == 7", "the tests fail without any mutant"),
        ("def test_margin(): assert", "cannot be collected"),
        ("", "no tests in"),
    ],
)
def test_the_script_fails_where_a_test_could_not_have_caught_a_mutant(test: str, says: str, tmp_path: Path) -> None:
    """Tests that fail anyway, or that do not run, catch nothing."""
    done = run_script(tmp_path, test)
    assert done.returncode == 1
    assert says in done.stdout


def test_every_equivalent_mutant_is_one_that_is_made_and_says_why() -> None:
    made = {mutant.key for path in mutate_objectives.SOURCES.glob("*.py") for mutant in mutants_of(path)}
    assert set(EQUIVALENT) <= made
    assert all(reason.strip() for reason in EQUIVALENT.values())


def test_the_script_refuses_a_module_that_is_not_there() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "no_such"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "no such module: no_such" in done.stderr and "pairwise" in done.stderr
