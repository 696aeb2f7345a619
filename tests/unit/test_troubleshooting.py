"""docs/troubleshooting.md quotes messages that the program has."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("orchestrator", "workers", "recipes", "launch")
OPEN = "…"  # what a message fills in
# What the page quotes and a library or the system says.
OF_OTHERS = {"…: No space left on device"}
LINES = (ROOT / "docs" / "troubleshooting.md").read_text().splitlines()
QUOTED = [quote for line in LINES if line.startswith("**`") for quote in re.findall(r"\*\*`([^`]+)`\*\*", line)]


def text_of(node: ast.expr) -> str:
    """A text of the sources as its reader sees it, with `…` for what is filled in."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(text_of(value) for value in values)
        case _:
            return OPEN


@cache
def messages() -> tuple[str, ...]:
    """Every text of the sources but docstrings."""
    found: dict[str, None] = {}
    for path in (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        texts = (node for node in nodes if isinstance(node, ast.Constant | ast.JoinedStr))
        found |= dict.fromkeys(text_of(node) for node in texts if id(node) not in docstrings)
    return tuple(found)


@pytest.mark.parametrize("quote", [quote for quote in QUOTED if quote not in OF_OTHERS])
def test_a_quoted_message_is_the_programs(quote: str) -> None:
    pattern = re.compile(".*".join(map(re.escape, quote.split(OPEN))), re.DOTALL)
    assert any(pattern.search(message) for message in messages())


def test_enough_messages_are_quoted() -> None:
    assert len(QUOTED) == len(set(QUOTED)) >= 30
