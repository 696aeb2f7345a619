"""What recipes there are, and what each does, in sentences made of its configuration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...orchestrator.config.schema import Config
from ...orchestrator.errors import ConfigError
from ...orchestrator.parts.conditions import asked_under
from ..reports import plain
from .groups import file_values, group_members, nearest
from .learning_words import taught
from .loading import compose_dict, config_values, flatten, parse_config
from .plan import phases_of
from .user_parts import with_parts

# A recipe as its file has it: of the shipped models, this one scales nothing.
UNSCALED = ("model=local", "model.path=none")
ABOUT = ("title", "paper", "differs")


def print_recipes(console: Console, config_dir: Path | None) -> None:
    """Every recipe with its paper, and how it differs from it."""
    table = Table(title="recipes (`roundelay recipes NAME` says what one does)", title_justify="left")
    table.add_column("recipe", no_wrap=True)
    table.add_column("method and paper")
    table.add_column("differs from the paper")
    for name in group_members("recipe", config_dir):
        about = _about(name, config_dir)
        title, paper, differs = (str(about.get(key, "–")) for key in ABOUT)
        table.add_row(*map(plain, (name, f"{title}\n{paper}", differs)))
        table.add_section()
    console.print(table)


def _about(name: str, config_dir: Path | None) -> Mapping[str, Any]:
    """A recipe's title, paper and differences. Composing takes a quarter of a second a recipe, so its file is read, and
    composed only where that does not say them all: they may be another recipe's that it goes on from."""
    about = file_values("recipe", name, config_dir).get("recipe")
    if isinstance(about, Mapping) and all(key in about for key in ABOUT):
        return about
    composed = compose_dict([f"recipe={name}"], config_dir=config_dir, default_name="recipe", complete=False)
    return composed.get("recipe", {})


def print_recipe(console: Console, name: str, config_dir: Path | None, parts: Sequence[str] = ()) -> None:
    """What a recipe does, phase by phase.

    Raises:
        ConfigError: there is no such recipe, or it cannot run.
    """
    known = group_members("recipe", config_dir)
    if name not in known:
        close = nearest(name, known)
        raise ConfigError(
            f"{name}: no such recipe", (f"did you mean {close}? " if close else "") + f"known: {', '.join(known)}"
        )
    words = with_parts([f"recipe={name}", *UNSCALED], parts)
    values = compose_dict(words, config_dir=config_dir, default_name="recipe", complete=False)
    config = parse_config(_with_names_of_gaps(values))
    console.print(plain(f"{config.recipe.title} ({config.recipe.paper})", "bold"))
    console.print(plain(f"Differs from the paper: {config.recipe.differs}."))
    for phase, first, last in phases_of(config):
        of_phase = config.in_phase(phase)
        console.print(plain(f"\n{_heading(of_phase, phase, first, last)}", "cyan"))
        console.print(_grid(_stages(of_phase)))
    if config.run.repeat_phases:
        console.print(Text(f"\nThen these phases come again, until round {config.run.rounds}", style="cyan"))
    console.print(Text("\nBefore the first round, and after every round", style="cyan"))
    console.print(_grid([("evaluate", _evaluated(config))]))
    _print_papers_values(console, config)
    console.print(
        Text(
            f"\nSizes are the recipe's own; a model may scale them. A run's: roundelay run --dry-run recipe={name} …",
            style="dim",
        )
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedValue:
    """A value of the paper beside the recipe's, as text ("–": the recipe has no such thing)."""

    key: str
    paper: str
    here: str
    differs: bool
    source: str


def compared_with_paper(config: Config) -> list[ComparedValue]:
    """The paper's values beside those of `config`, in the recipe's order."""
    here = flatten(config_values(config))
    return [
        ComparedValue(
            key=key,
            paper=_shown(value),
            here=_shown(here[key]) if key in here else "–",
            differs=key not in here or _shown(here[key]) != _shown(value),
            source=part.source,
        )
        for part in config.recipe.paper_values
        for key, value in part.values.items()
    ]


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _print_papers_values(console: Console, config: Config) -> None:
    rows = compared_with_paper(config)
    if not rows:
        return
    sources = dict.fromkeys(row.source for row in rows)
    console.print(Text(f"\nThe paper's values ({'; '.join(sources)})", style="cyan"))
    table = Table.grid(padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*map(Text, (f"  {row.key}", row.paper, f"here: {row.here}" if row.differs else "")))
    console.print(table)


def _with_names_of_gaps(value: Any, key: str = "") -> Any:
    """What the recipe leaves to the user goes by the name of its field."""
    if isinstance(value, Mapping):
        return {name: _with_names_of_gaps(part, f"{key}.{name}".lstrip(".")) for name, part in value.items()}
    return f"<{key}>" if value == "???" else value


def _heading(config: Config, phase: str | None, first: int, last: int) -> str:
    rounds, each = (f"Round {first}", "") if first == last else (f"Rounds {first} to {last}", " a round")
    return f"{rounds}{f', phase {phase}' if phase else ''}: {config.run.prompts_per_round} prompts{each}"


def _stages(config: Config) -> list[tuple[str, str]]:
    keeps = config.objective.trains != "policy"
    return [
        *([("prompts", config.new_prompts.sentence())] if config.new_prompts.makes else []),
        ("sample", config.generation.sentence()),
        ("judge", config.judge.sentence()),
        ("pair", config.pairing.sentence()),
        *([("filter", config.filter.sentence())] if not config.filter.keeps_all else []),
        *([("condition", config.conditioning.sentence())] if not config.conditioning.says_nothing else []),
        ("learn", f"{config.objective.sentence()} {config.objective.reference.sentence()}"),
        ("update", taught(config.learner, config.pairing)),
        ("sync", "Nothing: the policy stays as it is." if keeps else "The next round samples from the new policy."),
    ]


def _evaluated(config: Config) -> str:
    evaluation = config.evaluation
    judges = [config.in_phase(name).judge for name in config.phases or (None,)]
    planted = min(evaluation.canaries.prompts, evaluation.num_prompts)
    judged = any(one.judges for one in judges)
    canaries = f" Canaries for the round's judge on {planted} of them." if planted and judged else ""
    judge = f"Judge: {evaluation.judge.sentence()}" if evaluation.judge.judges else "Nobody judges it."
    under = asked_under(evaluation.condition)
    fresh = f" and of {evaluation.fresh_prompts} drawn for the round" if evaluation.fresh_prompts else ""
    return f"A response to each of {evaluation.num_prompts} held-out prompts{fresh}{under}. {judge}{canaries}"


def _grid(rows: list[tuple[str, str]]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, min_width=10)
    grid.add_column(max_width=100)
    for name, sentence in rows:
        grid.add_row(plain(f"  {name}"), plain(sentence))
    return grid
