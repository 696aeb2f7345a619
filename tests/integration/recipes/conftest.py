"""One engine for all recipes, and how one is played on it."""

import itertools
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from support.one_engine import OneEngine
from support.recipe_runs import IMITATING, SIZES, kept_when_cut
from support.updates import tensors_in

from roundelay.launch.config.loading import load_config
from roundelay.orchestrator.ledger.ledger import Ledger

GUIDE = Path(__file__).parents[3] / "docs" / "adding-a-method.md"
SAMPLED = "generation.sampling.max_tokens=10"


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


def assert_learnt(ledger: Ledger) -> None:
    """The first round with steps moved what it trains, a policy or a reward model: another hash, and other weights."""
    manifests = map(ledger.manifest, itertools.count(1))
    manifest = next(one for one in manifests if one["learn"]["steps"])
    before, after = manifest["start"], manifest["reward_model"] or manifest["policy"]
    assert before["sha256"] != after["sha256"]
    old, new = (tensors_in(ledger.absolute(policy["path"])) for policy in (before, after))
    moved = max(float((new[name] - old.get(name, torch.zeros(()))).abs().max()) for name in new)
    assert moved > 0, "no weight has changed"


@pytest.fixture
def play(engine: OneEngine, tiny_model: Path, tmp_path: Path) -> Callable[..., Ledger]:
    def run(recipe: str, *overrides: str, config_dir: Path | None = None) -> Ledger:
        words = ["model=local", f"model.path={tiny_model}", f"recipe={recipe}", *SIZES, *overrides]
        if recipe not in (*IMITATING, "steerlm"):  # these sample nothing
            words = [SAMPLED, *kept_when_cut(recipe), *words]
        words = [*words, f"run.root={tmp_path}", f"run.name={recipe}"]
        ledger = engine.run(load_config(words, config_dir=config_dir))
        assert_learnt(ledger)
        return ledger

    return run
