"""Sweeps: Hydra's sweep grammar expanded into runs of one directory, one after another, resumable."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from rich.console import Console
from rich.table import Table

from ...orchestrator.config.schema import Config
from ...orchestrator.errors import ConfigError, UserError
from ...orchestrator.ledger.ledger import Ledger
from ..config.loading import load_config
from ..config.paths import quoted_home
from ..reports import plain
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
        parsed = OverridesParser.create().parse_overrides([quoted_home(override) for override in overrides])
        choices = [
            [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
            if override.is_sweep_override()
            else [override.input_line or ""]
            for override in parsed
        ]
    except HydraException as error:
        raise ConfigError(
            f"the overrides cannot be read: {str(error).splitlines()[0]}", "quote values with commas or spaces"
        ) from error
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
    if name is not None and (name in ("", ".", "..") or "/" in name or "\0" in name):
        raise ConfigError(f"--name {name} is no name of a directory in --root", "give a name without slashes")
    directory = root / (name or f"{datetime.now():%Y%m%d-%H%M%S}")
    jobs = _jobs(directory, overrides)
    configs = [
        load_config(job, config_dir=config_dir, plain={"run.root": str(directory), "run.name": f"{index:03d}"})
        for index, job in enumerate(jobs)
    ]
    _claim(directory, overrides, jobs)
    console.print(plain(f"sweep of {len(jobs)} runs in {directory}"))
    failures: dict[int, str] = {}
    for index, (job, config) in enumerate(zip(jobs, configs, strict=True)):
        console.print(plain(f"\nrun {index + 1}/{len(jobs)}: {' '.join(job)}", "bold"))
        try:
            with _opened(directory / config.run.name, config) as (config, ledger):
                if not is_finished(config, ledger):
                    follow(config, ledger)
        except KeyboardInterrupt:
            console.print(
                plain(f"\ninterrupted; go on with the same overrides and --root {root} --name {directory.name}")
            )
            raise
        except UserError as error:
            failures[index] = error.what
            console.print(plain(f"failed: {error}", "red"))
    console.print(_table(directory, jobs, failures))
    return len(failures)


@contextmanager
def _opened(directory: Path, config: Config) -> Iterator[tuple[Config, Ledger]]:
    """A run of the sweep, gone on with or begun."""
    begun = (directory / "run.yaml").exists()
    with resume_run(str(directory), []) if begun else create_run(config) as opened:
        yield opened


def _jobs(directory: Path, overrides: Sequence[str]) -> list[list[str]]:
    """The runs of a sweep: those it was begun with, or its expansion.

    Raises:
        ConfigError: the directory holds another sweep, or something else.
    """
    file = directory / "sweep.yaml"
    if file.exists():
        begun = yaml.safe_load(file.read_text())
        if begun["overrides"] != list(overrides):
            raise ConfigError(f"{directory} holds another sweep", "give the same overrides, or another --name")
        return begun["jobs"]
    if directory.exists() and any(directory.iterdir()):
        raise ConfigError(f"{directory} is not empty and holds no sweep", "choose another --name")
    return expand(overrides)


def _claim(directory: Path, overrides: Sequence[str], jobs: Sequence[Sequence[str]]) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--root {directory.parent}: {directory} cannot be made ({error.strerror})",
            "give a directory you may write",
        ) from error
    content = {"overrides": list(overrides), "jobs": [list(job) for job in jobs]}
    (directory / "sweep.yaml").write_text(yaml.safe_dump(content))


def _table(directory: Path, jobs: Sequence[Sequence[str]], failures: dict[int, str]) -> Table:
    table = Table(title=plain(str(directory)), title_justify="left")
    for column in ("run", "overrides", "rounds", "loss", "accuracy", "held-out score", "implicit accuracy", "status"):
        table.add_column(column)
    for index, job in enumerate(jobs):
        ledger = Ledger(str(directory / f"{index:03d}"))
        finished = ledger.finished_rounds()
        manifest = ledger.manifest(finished[-1]) if finished else {}
        learn, evaluation = manifest.get("learn", {}), manifest.get("evaluation", {})
        table.add_row(
            f"{index:03d}",
            plain(" ".join(job)),
            str(finished[-1] if finished else 0),
            _cell(learn.get("loss")),
            _cell(learn.get("rewards/accuracies")),
            _cell(evaluation.get("judge", {}).get("score_mean")),
            _cell(evaluation.get("implicit_accuracy")),
            plain(f"failed: {failures[index]}" if index in failures else "finished"),
        )
    return table


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
