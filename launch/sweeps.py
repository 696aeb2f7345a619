"""Sweeps: Hydra's sweep grammar expanded into runs of one directory, one after another, resumable."""

import itertools
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from rich.console import Console
from rich.table import Table

from ..orchestrator.config import Config
from ..orchestrator.errors import ConfigError, UserError
from ..orchestrator.ledger import Ledger
from .config_loading import load_config
from .runs import create_run, is_finished, resume_run


def expand(overrides: Sequence[str]) -> list[list[str]]:
    """Every combination of the sweeps in `overrides`, the last varying fastest.

    Raises:
        ConfigError: an override is malformed.

    Example:
        >>> expand(["a=1,2", "b=x"])
        [['a=1', 'b=x'], ['a=2', 'b=x']]
    """
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise ConfigError(
            f"the overrides cannot be read: {str(error).splitlines()[0]}", "quote values with commas or spaces"
        ) from error
    choices = [
        [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
        if override.is_sweep_override()
        else [override.input_line or ""]
        for override in parsed
    ]
    return [list(combination) for combination in itertools.product(*choices)]


def run_sweep(
    console: Console,
    overrides: Sequence[str],
    *,
    config_dir: Path | None,
    name: str | None,
    root: Path,
    follow: Callable[[Config, Ledger], None],
) -> int:
    """Run what is left of a sweep and print its table.

    Returns:
        how many runs failed. A failed run does not keep the others from running.

    Raises:
        ConfigError: a combination is impossible (before any run starts), or the directory holds another sweep.
    """
    jobs = expand(overrides)
    directory = root / (name or f"{datetime.now():%Y%m%d-%H%M%S}")
    configs = [
        load_config([*job, f"run.root={directory}", f"run.name={index:03d}"], config_dir=config_dir)
        for index, job in enumerate(jobs)
    ]
    _claim(directory, jobs)
    console.print(f"sweep of {len(jobs)} runs in {directory}", highlight=False)
    failures: dict[int, str] = {}
    for index, (job, config) in enumerate(zip(jobs, configs, strict=True)):
        console.print(f"\n[bold]run {index + 1}/{len(jobs)}[/bold]: {' '.join(job)}", highlight=False)
        try:
            if (directory / config.run.name / "run.yaml").exists():
                config, ledger = resume_run(str(directory / config.run.name), [])
            else:
                ledger = create_run(config)
            if not is_finished(config, ledger):
                follow(config, ledger)
        except UserError as error:
            failures[index] = error.what
            console.print(f"[red]failed:[/red] {error}", markup=True, highlight=False)
    console.print(_table(directory, jobs, failures))
    return len(failures)


def _claim(directory: Path, jobs: Sequence[Sequence[str]]) -> None:
    file = directory / "sweep.yaml"
    if file.exists():
        if yaml.safe_load(file.read_text()) != [list(job) for job in jobs]:
            raise ConfigError(f"{directory} holds another sweep", "give the same overrides, or another --name")
        return
    if directory.exists() and any(directory.iterdir()):
        raise ConfigError(f"{directory} is not empty and holds no sweep", "choose another --name")
    directory.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump([list(job) for job in jobs]))


def _table(directory: Path, jobs: Sequence[Sequence[str]], failures: dict[int, str]) -> Table:
    table = Table(title=str(directory), title_justify="left")
    for column in ("run", "overrides", "rounds", "loss", "accuracy", "held-out score", "implicit accuracy", "status"):
        table.add_column(column)
    for index, job in enumerate(jobs):
        ledger = Ledger(str(directory / f"{index:03d}"))
        finished = ledger.finished_rounds()
        manifest = ledger.manifest(finished[-1]) if finished else {}
        learn, evaluation = manifest.get("learn", {}), manifest.get("evaluation", {})
        table.add_row(
            f"{index:03d}",
            " ".join(job),
            str(finished[-1] if finished else 0),
            _cell(learn.get("loss")),
            _cell(learn.get("rewards/accuracies")),
            _cell(evaluation.get("judge", {}).get("score_mean")),
            _cell(evaluation.get("implicit_accuracy")),
            f"failed: {failures[index]}" if index in failures else "finished",
        )
    return table


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
