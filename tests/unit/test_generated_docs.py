"""What the documentation says of parts, configuration keys and files is what the sources say (`make docs`)."""

import importlib.util
from dataclasses import is_dataclass
from pathlib import Path

import pytest

from roundelay.orchestrator.parts.registry import Group

ROOT = Path(__file__).parents[2]


def generator():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATE = generator()


def test_every_page_is_as_make_docs_writes_it() -> None:
    assert [path.name for path, text in GENERATE.pages() if path.read_text() != text] == []


@pytest.mark.parametrize("group", [*GENERATE.PAGES])
def test_every_kind_has_a_row_a_file_a_test_and_a_sentence_of_its_own(group: Group) -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    page, files = (ROOT / "docs" / GENERATE.PAGES[group]).read_text(), GENERATE.names_by_kind(group)
    assert {*GENERATE.shipped_kinds(group)} == {*files}, "a kind without a YAML file, or a file of no kind"
    for kind, cls in GENERATE.shipped_kinds(group).items():
        assert f"`{kind}`" in page and GENERATE.said_of(cls) in page
        assert f"{cls.__module__} import" in tests or cls.__name__ in tests, f"no test knows {kind}"
        base = [one for one in cls.__mro__ if is_dataclass(one)][-1]
        for trait in (name for name in ("sentence", "build") if hasattr(base, name)):
            assert getattr(cls, trait) is not getattr(base, trait), f"{kind} has no {trait} of its own"


def test_no_path_of_a_machine_is_written() -> None:
    pages = "".join(text for _, text in GENERATE.pages())
    assert str(ROOT) not in pages and str(Path.home()) not in pages
