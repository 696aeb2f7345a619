"""Beside every recipe stand its paper's values, by key; what an unscaled model has otherwise, `differs` names."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from support.configs import RECIPE_NEEDS

from roundelay.launch.config.loading import CONFIG_ROOT, config_values, flatten, load_config
from roundelay.launch.config.recipes import compared_with_paper
from roundelay.orchestrator.config.schema import Config, PaperValues

RECIPES = sorted(path.stem for path in (CONFIG_ROOT / "recipe").glob("*.yaml"))


def unscaled(recipe: str) -> Config:
    needed = RECIPE_NEEDS.get(recipe, ())
    return load_config([f"recipe={recipe}", "model=local", "model.path=/m", *needed], default_name="test")


def unnamed(config: Config) -> list[str]:
    """Keys whose value is not the paper's, and that `differs` does not name."""
    found = flatten(config_values(config))
    papers = {key: value for part in config.recipe.paper_values for key, value in part.values.items()}
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in papers.items()}
    different = [key for key, value in plain.items() if key not in found or found[key] != value]
    return [key for key in different if key not in config.recipe.differs]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_on_an_unscaled_model_has_its_papers_values_or_says_by_key_that_it_differs(recipe: str) -> None:
    config = unscaled(recipe)
    assert unnamed(config) == []
    sources = [part.source for part in config.recipe.paper_values]
    assert all(config.recipe.paper in source or source.startswith("arXiv 2307.12950") for source in sources)
    assert all(part.values for part in config.recipe.paper_values)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_without_a_papers_values_says_that_they_are_not_known(recipe: str) -> None:
    text = Path(CONFIG_ROOT / "recipe" / f"{recipe}.yaml").read_text()
    info: dict[str, Any] = yaml.safe_load(text)["recipe"]
    assert info["paper_values"] or any(words in text for words in ("Not verified:", "Inspired by"))


def test_a_value_that_is_not_the_papers_is_found_wherever_it_comes_from() -> None:
    """From the recipe, from a group's default, or because there is no such key."""
    config = load_config(
        ["recipe=simpo", "model=local", "model.path=/m", "objective.gamma=0.5", "pairing.min_margin=0.1"],
        default_name="test",
    )
    assert unnamed(config) == ["objective.gamma", "pairing.min_margin"]


def test_the_page_sets_the_papers_values_beside_the_recipes() -> None:
    rows = {row.key: row for row in compared_with_paper(unscaled("spin"))}
    assert (rows["objective.beta"].paper, rows["objective.beta"].here, rows["objective.beta"].differs) == (
        "0.1", "0.1", False
    )  # fmt: skip
    assert (rows["learner.algorithm"].paper, rows["learner.algorithm"].differs) == ("RMSprop", True)
    assert "2401.01335" in rows["objective.beta"].source


def test_a_run_begun_before_recipes_had_papers_values_is_read() -> None:
    values = config_values(unscaled("simpo"))
    del values["recipe"]["paper_values"]
    from roundelay.launch.config.loading import parse_config

    assert parse_config(values).recipe.paper_values == ()
    assert PaperValues(source="s", values={"a": (1.0,)}).values["a"] == (1.0,)  # pyright: ignore[reportArgumentType]
