"""docs/methods.md names every recipe once, as its YAML has it, with modules that exist and a test that plays it."""

import ast
import importlib.util
import re
from itertools import takewhile
from pathlib import Path
from types import FunctionType

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
PLAYING = sorted((ROOT / "tests" / "integration" / "recipes").glob("test_*.py"))


def played(path: Path) -> dict[str, set[str]]:
    """The recipes that each test of a file plays: the first word of its calls of `play`, a literal or a parameter."""
    spec = importlib.util.spec_from_file_location(f"recipes_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, set[str]] = {}
    for node in ast.parse(path.read_text()).body:
        if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
            continue
        recipes = found.setdefault(node.name, set())
        for call in ast.walk(node):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "play":
                first = call.args[0]
                if isinstance(first, ast.Name):
                    recipes |= parameters(getattr(module, node.name), first.id)
                else:
                    recipes.add(ast.literal_eval(first))
    return found


def parameters(function: FunctionType, name: str) -> set[str]:
    """What an argument of a test is parametrized with, by itself or beside others."""
    found: set[str] = set()
    for mark in getattr(function, "pytestmark", ()):
        if mark.name != "parametrize":
            continue
        names, values = mark.args
        if names == name:
            found |= set(values)
        elif name in names and not isinstance(names, str):
            found |= {value[names.index(name)] for value in values}
    return found


@pytest.fixture(scope="module")
def tests() -> dict[str, set[str]]:
    return {test: recipes for path in PLAYING for test, recipes in played(path).items()}


def test_every_recipe_has_one_row_in_the_order_of_the_alphabet() -> None:
    assert [row[0].strip("`") for row in ROWS] == sorted(RECIPES)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip("`"))
def test_a_row_says_what_the_recipe_says_and_names_what_exists(row: list[str], tests: dict[str, set[str]]) -> None:
    """With the row for every recipe, this is also why every recipe is played."""
    name, title, paper, modules, differs, test = row
    recipe = RECIPES[name.strip("`")]
    assert (title, differs) == (recipe["title"], recipe["differs"])
    identity = recipe["paper"].removeprefix("arXiv ")
    assert paper in (identity, f"[{identity}](https://arxiv.org/abs/{identity})")
    assert name.strip("`") in tests[test.strip("`")]
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
