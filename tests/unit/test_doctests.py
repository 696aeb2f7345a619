"""The examples in docstrings are true."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

PACKAGES = ("roundelay.orchestrator", "roundelay.launch", "roundelay.recipes")
MODULES = [
    module.name
    for package in PACKAGES
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")
    if not module.ispkg and not module.name.startswith("roundelay.recipes.losses.")
]
WITH_EXAMPLES = {
    "roundelay.orchestrator.prompts.order",
    "roundelay.orchestrator.data.seeds",
    "roundelay.orchestrator.prompts.subset",
    "roundelay.orchestrator.cluster.weight_transfer",
    "roundelay.recipes.evaluation.bias",
    "roundelay.recipes.evaluation.comparisons",
    "roundelay.recipes.evaluation.judge_accuracy",
    "roundelay.recipes.evaluation.ranking",
    "roundelay.recipes.evaluation.wildbench",
    "roundelay.recipes.generation.contrast",
    "roundelay.recipes.judges.ab",
    "roundelay.recipes.judges.chat_api",
    "roundelay.recipes.judges.checklist",
    "roundelay.recipes.judges.critique",
    "roundelay.recipes.judges.expected_score",
    "roundelay.recipes.judges.pairwise",
    "roundelay.recipes.judges.rendering",
    "roundelay.recipes.judges.score_line",
    "roundelay.recipes.judges.thought",
    "roundelay.recipes.pairing.sppo",
    "roundelay.recipes.schedules",
    "roundelay.launch.config.groups",
    "roundelay.launch.config.loading",
    "roundelay.launch.compare.kept_comparisons",
    "roundelay.launch.compare.matches",
    "roundelay.launch.reports",
    "roundelay.launch.show.rounds",
    "roundelay.launch.run.sweeps",
    "roundelay.launch.run.tracking",
}


def test_every_module_known_to_hold_examples_is_looked_at() -> None:
    assert set(MODULES) >= WITH_EXAMPLES


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_are_true(name: str) -> None:
    """Every `>>>` in the module is tried: none is in a place where doctest does not look."""
    module = importlib.import_module(name)
    results = doctest.testmod(module)
    assert results.failed == 0
    assert results.attempted == inspect.getsource(module).count(">>> ")
    assert results.attempted > 0 or name not in WITH_EXAMPLES
