"""docs/methods.md names every recipe once, as its YAML has it, with modules and a test that exist."""

import ast
import re
from itertools import takewhile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in (ROOT / "docs" / "methods.md").read_text().splitlines()
    if line.startswith("| `")
]
RECIPES = {
    path.stem: yaml.safe_load(path.read_text())["recipe"] for path in (ROOT / "configs" / "recipe").glob("*.yaml")
}
TESTS = {
    node.name
    for path in (ROOT / "tests" / "integration" / "recipes").glob("test_*.py")
    for node in ast.parse(path.read_text()).body
    if isinstance(node, ast.FunctionDef)
}


def test_every_recipe_has_one_row_in_the_order_of_the_alphabet() -> None:
    assert [row[0].strip("`") for row in ROWS] == sorted(RECIPES)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip("`"))
def test_a_row_says_what_the_recipe_says_and_names_what_exists(row: list[str]) -> None:
    name, title, paper, modules, differs, test = row
    recipe = RECIPES[name.strip("`")]
    assert (title, differs) == (recipe["title"], recipe["differs"])
    identity = recipe["paper"].removeprefix("arXiv ")
    assert paper in (identity, f"[{identity}](https://arxiv.org/abs/{identity})")
    assert test.strip("`") in TESTS
    found = re.findall(r"`(recipes/[\w/]+\.py)`", modules)
    assert found and all((ROOT / module).is_file() for module in found)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_recipes_header_says_in_three_lines_what_it_is_and_how_far_it_is_the_papers(name: str) -> None:
    """The paper; what differs; what is faithful, what only inspired, or not verified."""
    first, *lines = (ROOT / "configs" / "recipe" / f"{name}.yaml").read_text().splitlines()
    header = list(takewhile(lambda line: line.startswith("#"), lines))
    assert first == "# @package _global_" and len(header) == 3
    assert max(map(len, header)) <= 120
    said = " ".join(line.removeprefix("# ") for line in header)
    assert RECIPES[name]["paper"].removeprefix("arXiv ") in said.partition("Differs:")[0]
    assert re.search(r"\b(Faithful|Inspired by|Not verified): \w|Inspired by \w", said)
