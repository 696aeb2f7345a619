"""The command line: parses, calls, prints. Exit codes: 0 done, 1 stopped, 2 wrong input, 130 interrupted."""

import functools
import signal
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, ParamSpec

import typer
import yaml
from rich.console import Console
from rich.text import Text

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

P = ParamSpec("P")


def reported(command: Callable[P, None]) -> Callable[P, None]:
    """A command whose errors are a message and an exit code, never a traceback of ours."""

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt:
            raise SystemExit(130) from None
        except UserError as error:
            kind = "error" if isinstance(error, ConfigError) else "stopped"
            err.print(Text(f"{kind}:", style="bold red"), Text(str(error)), soft_wrap=True)
            raise SystemExit(2 if isinstance(error, ConfigError) else 1) from None

    return wrapper


Overrides = Annotated[list[str] | None, typer.Argument(help="Hydra overrides: recipe=… model=… any.key=value")]
ConfigDir = Annotated[Path | None, typer.Option(help="Your own config groups, searched before the shipped ones.")]


@app.command()
@reported
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
    err.print(Text(f"run directory: {ledger.url}"), soft_wrap=True)
    try:
        follow(config, ledger)
    except ConfigError:
        if not ledger.exists("rounds"):  # no actor ever started: the same name may be used again
            ledger.remove()
        raise


@app.command()
@reported
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
        out.print(Text(f"{ledger.url} is finished: nothing to do (run.rounds=… extends it)"), soft_wrap=True)
        return
    if note := environment_note(ledger.header()):
        err.print(Text(f"note: {note}"), soft_wrap=True)
    follow(config, ledger)


@app.command()
@reported
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
@reported
def show(run: Annotated[str, typer.Argument(help="The run's directory or URL.")]) -> None:
    """Print a run's table, finished or not.

    Example: roundelay show runs/demo
    """
    print_run(out, Ledger(run))


@app.command()
@reported
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
        err.print(Text(f"\ninterrupted; go on with: roundelay resume {ledger.url}"), soft_wrap=True)
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
    # Slurm's and Kubernetes' SIGTERM leaves a resumable run, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    app()
