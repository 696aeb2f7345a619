"""The command line: parses, calls, prints. Exit codes: 0 done, 1 stopped, 2 wrong input, 130 interrupted."""

import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.markup import escape

from ..orchestrator.config import Config
from ..orchestrator.errors import ConfigError, UserError
from ..orchestrator.ledger import Ledger
from .config_loading import config_values, load_config
from .plan import print_plan, print_recipes
from .progress import TerminalProgress
from .runs import create_run, environment_note, execute, is_finished, resume_run
from .sweeps import run_sweep
from .table import print_run
from .tracking import Observers, WandbTracker

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Train language models on their own feedback, round after round.",
)
out, err = Console(), Console(stderr=True)

Overrides = Annotated[list[str] | None, typer.Argument(help="Hydra overrides: recipe=… model=… any.key=value")]
ConfigDir = Annotated[Path | None, typer.Option(help="Your own config groups, searched before the shipped ones.")]


@app.command()
def run(
    overrides: Overrides = None,
    config_dir: ConfigDir = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print config and plan of stages; start nothing.")] = False,
    cfg: Annotated[bool, typer.Option("--cfg", help="Print the config; start nothing.")] = False,
) -> None:
    """Run a recipe.

    Example: roundelay run recipe=self_rewarding model=smollm2_135m run.rounds=3 objective.beta=0.05
    """
    chosen = overrides or []
    config = load_config(chosen, config_dir=config_dir, default_name=default_name(chosen, config_dir))
    if cfg or dry_run:
        print(yaml.safe_dump(config_values(config), sort_keys=False), end="")
        if dry_run:
            print_plan(out, config)
        return
    ledger = create_run(config)
    err.print(f"run directory: {ledger.url}", soft_wrap=True, highlight=False)
    follow(config, ledger)


@app.command()
def resume(
    run: Annotated[str, typer.Argument(help="The run's directory or URL.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="run.rounds=… cluster.… tracking.…")] = None,
) -> None:
    """Go on with a run where it stopped, or extend a finished one.

    Example: roundelay resume runs/demo run.rounds=5
    """
    config, ledger = resume_run(run, overrides or [])
    if is_finished(config, ledger):
        print_run(out, ledger)
        out.print(f"{ledger.url} is finished: nothing to do (run.rounds=… extends it)", soft_wrap=True)
        return
    if note := environment_note(ledger.header()):
        err.print(f"note: {note}", soft_wrap=True)
    follow(config, ledger)


@app.command()
def sweep(
    overrides: Overrides = None,
    config_dir: ConfigDir = None,
    name: Annotated[str | None, typer.Option(help="The sweep's directory in --root; give it again to resume.")] = None,
    root: Annotated[Path, typer.Option(help="Where sweeps are kept.")] = Path("sweeps"),
) -> None:
    """Run every combination of comma-separated overrides, one after another; resumable.

    Example: roundelay sweep recipe=self_rewarding,rlcd_dpo objective.beta=0.05,0.1
    """
    failed = run_sweep(out, overrides or [], config_dir=config_dir, name=name, root=root, follow=follow_quietly)
    if failed:
        raise typer.Exit(1)


@app.command()
def show(run: Annotated[str, typer.Argument(help="The run's directory or URL.")]) -> None:
    """Print a run's table, finished or not.

    Example: roundelay show runs/demo
    """
    print_run(out, Ledger(run))


@app.command()
def recipes(config_dir: ConfigDir = None) -> None:
    """List every recipe: its paper, its parts, how it differs.

    Example: roundelay recipes
    """
    print_recipes(out, config_dir)


def default_name(overrides: list[str], config_dir: Path | None) -> str:
    """RECIPE-MODEL-TIME, from the chosen group members."""
    chosen = {key: value for key, _, value in (override.partition("=") for override in overrides)}
    recipe = Path(chosen.get("recipe", "self_rewarding")).name
    model = Path(chosen.get("model", "smollm2_135m")).name
    return f"{recipe}-{model}-{datetime.now():%Y%m%d-%H%M%S}"


def follow(config: Config, ledger: Ledger) -> None:
    """Execute with live progress, then print the table."""
    try:
        follow_quietly(config, ledger)
    except KeyboardInterrupt:
        err.print(f"\ninterrupted; go on with: roundelay resume {ledger.url}", soft_wrap=True, highlight=False)
        raise
    except ConfigError:
        raise
    except UserError as error:
        raise type(error)(error.what, f"{error.remedy}\n  resume: roundelay resume {ledger.url}") from error
    print_run(out, ledger)


def follow_quietly(config: Config, ledger: Ledger) -> None:
    """Execute with live progress and tracking."""
    tracker = WandbTracker(config.tracking, ledger.header(), Path(ledger.url)) if config.tracking.wandb else None
    try:
        with TerminalProgress(err, config.run.rounds) as progress:
            execute(config, ledger, Observers(progress, tracker) if tracker else progress)
    finally:
        if tracker:
            tracker.close()


def main() -> None:
    """The `roundelay` command."""
    signal.signal(
        signal.SIGTERM, signal.getsignal(signal.SIGINT)
    )  # Slurm's warning leaves a resumable run as Ctrl-C does
    try:
        app(standalone_mode=False)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except typer.Abort:
        sys.exit(130)
    except (KeyboardInterrupt, SystemExit) as stop:
        sys.exit(stop.code if isinstance(stop, SystemExit) else 130)
    except UserError as error:
        kind = "error" if isinstance(error, ConfigError) else "stopped"
        err.print(f"[bold red]{kind}:[/bold red] {escape(str(error))}", soft_wrap=True, highlight=False)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
