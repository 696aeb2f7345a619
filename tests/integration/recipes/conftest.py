"""One engine for all recipes, and how one is played on it."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.one_engine import OneEngine
from support.recipe_runs import IMITATING, SIZES, WHOLE

from roundelay.launch.config_loading import load_config
from roundelay.orchestrator.ledger import Ledger

GUIDE = Path(__file__).parents[3] / "docs" / "adding-a-method.md"
SAMPLED = "generation.sampling.max_tokens=10"
KEPT = "generation.truncated=keep"


@pytest.fixture(scope="package")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two files of docs/adding-a-method.md, in a folder of a user's that Python finds modules in."""
    folder = tmp_path_factory.mktemp("mine")
    blocks = re.findall(r"```(python|yaml)\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (python,), (yaml,) = ([text for kind, text in blocks if kind == wanted] for wanted in ("python", "yaml"))
    assert len((python + yaml).splitlines()) < 60
    (folder / "my_paper.py").write_text(python)
    (folder / "configs" / "recipe").mkdir(parents=True)
    (folder / "configs" / "recipe" / "my_paper.yaml").write_text(yaml)
    return folder


@pytest.fixture(scope="package")
def engine(tiny_model: Path, mine: Path) -> Iterator[OneEngine]:
    sys.path.insert(0, str(mine))
    words = ["model=local", f"model.path={tiny_model}", "model.max_model_len=1024"]
    one = OneEngine(load_config(words, default_name="x"), folder=mine)
    yield one
    one.close()
    sys.path.remove(str(mine))


@pytest.fixture
def play(engine: OneEngine, tiny_model: Path, tmp_path: Path) -> Callable[..., Ledger]:
    def run(recipe: str, *overrides: str, config_dir: Path | None = None) -> Ledger:
        words = ["model=local", f"model.path={tiny_model}", f"recipe={recipe}", *SIZES, *overrides]
        if recipe not in (*IMITATING, "steerlm"):  # these sample nothing
            words.insert(0, SAMPLED)
        if recipe in WHOLE:
            words.insert(0, KEPT)
        return engine.run(load_config([*words, f"run.root={tmp_path}", f"run.name={recipe}"], config_dir=config_dir))

    return run
