"""docs/objectives.md names every objective once, with an oracle that exists and papers that its module cites."""

import ast
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "objectives.md"
FORMULAS = PAGE.read_text().partition("## Losses")[2]  # before them come the parts, which `make docs` writes
SOURCES = ROOT / "recipes" / "losses"
TESTS = ROOT / "tests" / "unit" / "recipes" / "losses"
WITHOUT_FORMULAS = ("micro_batches.py", "policy_batches.py")  # what calls them
HEADER = ["objective", "equation", "paper", "reference", "tokens", "TRL 1.16", "oracle"]
ARXIV_ID = re.compile(r"\b\d{4}\.\d{5}\b")


@dataclass(frozen=True, kw_only=True)
class Row:
    objective: str
    papers: frozenset[str]
    cells: tuple[str, ...]


def cells_of(line: str) -> tuple[str, ...]:
    """A table's line, split at bars that are no part of a formula."""
    return tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|")))


def rows() -> list[Row]:
    found = [cells_of(line) for line in FORMULAS.splitlines() if line.startswith("| `")]
    return [
        Row(objective=cells[0].strip("`"), papers=frozenset(ARXIV_ID.findall(cells[2])), cells=cells) for cells in found
    ]


def public_functions() -> dict[str, Path]:
    """Every function that a recipe may use, and its module."""
    found: dict[str, Path] = {}
    for path in sorted(path for path in SOURCES.glob("*.py") if path.name not in WITHOUT_FORMULAS):
        for name in functions_of(path):
            if not name.startswith("_"):
                assert name not in found, f"two objectives are called {name}"
                found[name] = path
    return found


def functions_of(path: Path) -> list[str]:
    return [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]


ROWS = rows()


def test_every_public_function_has_one_row_and_every_row_a_function() -> None:
    assert Counter(row.objective for row in ROWS) == Counter(list(public_functions()))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.objective)
def test_a_row_is_complete_and_its_oracle_is_a_test(row: Row) -> None:
    assert len(row.cells) == len(HEADER)
    assert all(row.cells), "an empty cell: a dash says that there is none"
    file, _, test = row.cells[-1].strip("`").partition("::")
    assert (TESTS / file).is_file()
    assert test.startswith("test_") and test in functions_of(TESTS / file)


@pytest.mark.parametrize("row", [row for row in ROWS if row.papers], ids=lambda row: row.objective)
def test_the_papers_of_a_row_are_cited_where_it_is_implemented(row: Row) -> None:
    assert row.papers <= set(ARXIV_ID.findall(public_functions()[row.objective].read_text()))


def test_both_tables_have_the_same_columns() -> None:
    headers = [cells_of(line) for line in FORMULAS.splitlines() if line.startswith("| objective")]
    assert headers == [tuple(HEADER)] * 2
