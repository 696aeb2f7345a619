"""The command line: parses, calls, prints. Exit codes: 0 done, 1 stopped, 2 wrong input, 130 interrupted."""

import functools
import secrets
import signal
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, ParamSpec

import typer
import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ..orchestrator.config.schema import Config
from ..orchestrator.errors import ConfigError, RunError, UserError
from ..orchestrator.ledger.ledger import Ledger
from .compare.comparing import compare as compare_policies
from .compare.judge_labels import judge_labels
from .config.groups import is_override
from .config.loading import config_values, load_config
from .config.paths import at_home, path_at_home
from .config.plan import print_plan
from .config.recipes import print_recipe, print_recipes
from .config.user_parts import with_parts
from .error_log import explained
from .reports import plain
from .run.inputs import inputs_notes
from .run.progress import TerminalProgress
from .run.runs import create_run, execute, format_notes, is_finished, resume_notes, resume_run
from .run.sweeps import run_sweep
from .run.tracking import Observers, WandbTracker
from .show.checking import check as check_files
from .show.harness import run_harness
from .show.table import print_run

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
    """A command whose errors are a message and an exit code, never a traceback of ours. Its help's brackets are no
    markup."""

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt:
            raise SystemExit(130) from None
        except (BrokenPipeError, typer.Exit, typer.Abort):  # whoever reads our output has had enough; typer's own
            raise
        except Exception as error:
            said = error if isinstance(error, UserError) else explained(error, _run_of(kwargs.get("run")))
            kind = "error" if isinstance(said, ConfigError) or said is not error else "stopped"
            err.print(Text(f"{kind}:", style="bold red"), Text(str(said)), soft_wrap=True)
            raise SystemExit(2 if isinstance(said, ConfigError) else 1) from None

    wrapper.__doc__ = escape(command.__doc__ or "")
    return wrapper


def _run_of(word: object) -> Ledger | None:
    """The run that a command was given, if it is one."""
    try:
        return Ledger(word) if isinstance(word, str) else None
    except Exception:  # a URL that nobody can open: the error that is being reported says so
        return None


Overrides = Annotated[list[str] | None, typer.Argument(help="Hydra overrides: recipe=… model=… any.key=value")]
Policies = Annotated[
    list[str],
    typer.Argument(
        parser=at_home, metavar="RUN[:ROUND]", help="Policies (one may be a file of responses), then overrides."
    ),
]
Draw = Annotated[int, typer.Option(min=0, help="Which part: parts do not overlap until all are used.")]
ConfigDir = Annotated[
    Path | None,
    typer.Option(
        parser=path_at_home, metavar="DIRECTORY", help="Your own config groups, searched before the shipped ones."
    ),
]
Parts = Annotated[
    list[str] | None,
    typer.Option(metavar="MODULE", help="A Python module of yours that registers parts; may be given several times."),
]
Run = Annotated[str, typer.Argument(parser=at_home, metavar="RUN", help="The run's directory or URL.")]


@app.command()
@reported
def run(
    overrides: Overrides = None,
    config_dir: ConfigDir = None,
    parts: Parts = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print config and plan of stages; start nothing.")] = False,
    cfg: Annotated[bool, typer.Option("--cfg", help="Print the config; start nothing.")] = False,
    name: Annotated[str | None, typer.Option(help="As run.name, but taken as it is, not in Hydra's grammar.")] = None,
    root: Annotated[
        str | None, typer.Option(parser=at_home, metavar="DIRECTORY", help="As run.root, but taken as it is.")
    ] = None,
) -> None:
    """Run a recipe.

    Example: roundelay run recipe=self_rewarding model=smollm2_135m run.rounds=3 objective.beta=0.05
    """
    chosen = with_parts(overrides or [], parts or [])
    as_is = {key: value for key, value in (("run.name", name), ("run.root", root)) if value is not None}
    config = load_config(chosen, config_dir=config_dir, default_name=default_name(chosen, config_dir), plain=as_is)
    if cfg or dry_run:
        print(yaml.safe_dump(config_values(config), sort_keys=False), end="")
        if dry_run:
            print_plan(out, config)
        return
    with create_run(config) as (config, ledger):
        err.print(plain(f"run directory: {ledger.url}"), soft_wrap=True)
        for note in inputs_notes(ledger.header()):
            err.print(plain(note), soft_wrap=True)
        follow(config, ledger)


@app.command()
@reported
def resume(
    run: Run,
    overrides: Annotated[list[str] | None, typer.Argument(help="run.rounds=… cluster.… tracking.…")] = None,
) -> None:
    """Go on with a run where it stopped, or extend a finished one.

    Example: roundelay resume runs/demo run.rounds=5
    """
    with resume_run(run, overrides or []) as (config, ledger):
        for note in resume_notes(ledger.header()):
            err.print(Text(f"note: {note}"), soft_wrap=True)
        if not is_finished(config, ledger):
            follow(config, ledger)
            return
        print_run(out, ledger)
        out.print(plain(f"{ledger.url} is finished: nothing to do (run.rounds=… extends it)"), soft_wrap=True)


@app.command()
@reported
def sweep(
    overrides: Overrides = None,
    config_dir: ConfigDir = None,
    parts: Parts = None,
    name: Annotated[str | None, typer.Option(help="The sweep's directory in --root; give it again to resume.")] = None,
    root: Annotated[Path, typer.Option(parser=path_at_home, metavar="DIRECTORY", help="Where sweeps are kept.")] = Path(
        "sweeps"
    ),
) -> None:
    """Run every combination of comma-separated overrides, one after another; resumable.

    Example: roundelay sweep recipe=self_rewarding,rlcd_dpo objective.beta=0.05,0.1
    """
    failed = run_sweep(
        out,
        with_parts(overrides or [], parts or []),
        config_dir=config_dir,
        name=name,
        root=root,
        follow=follow_quietly,
    )
    if failed:
        raise typer.Exit(1)


@app.command()
@reported
def show(
    run: Run,
) -> None:
    """Print a run's table, finished or not.

    Example: roundelay show runs/demo
    """
    ledger = Ledger(run)
    for note in format_notes(ledger.header()):
        err.print(Text(f"note: {note}"), soft_wrap=True)
    print_run(out, ledger)


@app.command()
@reported
def check(
    run: Run,
    heal: Annotated[
        bool, typer.Option("--heal", help="Set aside damaged files that a resume can compute again; delete nothing.")
    ] = False,
) -> None:
    """Verify every file of a run: shards, models, prompts, manifests.

    Example: roundelay check runs/demo --heal
    """
    if not check_files(out, err, run, mend=heal):
        raise typer.Exit(1)


@app.command()
@reported
def compare(
    policies: Policies,
    judge_model: Annotated[
        str | None,
        typer.Option(parser=at_home, metavar="MODEL", help="The model that judges; else the run's initial one."),
    ] = None,
    third_party: Annotated[
        str | None, typer.Option(parser=at_home, metavar="MODEL", help="A model of another family that judges too.")
    ] = None,
    num_prompts: Annotated[int | None, typer.Option(min=1, help="Judge a part of the prompts only.")] = None,
    draw: Draw = 0,
    keep_truncated: Annotated[
        bool, typer.Option("--keep-truncated", help="Judge responses that the token limit cut, too.")
    ] = False,
    length_rule: Annotated[
        int | None, typer.Option(min=-1, help="WB-Reward: by how many more characters a slight win is a tie; -1: off.")
    ] = None,
    difficulties: Annotated[
        Path | None,
        typer.Option(
            parser=path_at_home,
            metavar="FILE",
            help="A file of rows with id (or instruction) and difficulty, for length control.",
        ),
    ] = None,
    gamed: Annotated[
        Path | None, typer.Option(help="AlpacaEval's file of gamed baselines (.csv), for length control too.")
    ] = None,
    config_dir: ConfigDir = None,
    parts: Parts = None,
) -> None:
    """Win rate of two policies on the held-out prompts that both answered; of one RUN, all its rounds on one scale.

    One side may be another model's responses: a .json, .jsonl or .parquet file whose rows have id and response, or
    instruction and output, as AlpacaEval's. The overrides name the judge and its engine: judge=… cluster.…=…

    Example: roundelay compare runs/demo:2 runs/demo:0 judge=ab

    Example: roundelay compare runs/demo:2 other.json judge=pairwise judge.format=wildbench --length-rule -1

    Example: roundelay compare runs/demo:2 runs/demo:0 judge=expected_score --difficulties difficulties.jsonl
    """
    overrides = [word for word in policies if is_override(word)]
    with TerminalProgress(err, 0) as progress:
        sections = compare_policies(
            [word for word in policies if word not in overrides],
            with_parts(overrides, parts or []),
            judge_model=judge_model,
            third_party=third_party,
            config_dir=config_dir,
            num_prompts=num_prompts,
            draw=draw,
            keep_truncated=keep_truncated,
            length_rule=length_rule,
            difficulties=difficulties,
            gamed=gamed,
            observer=progress,
        )
    print_parts(sections)


@app.command("judge-accuracy")
@reported
def judge_accuracy(
    policy: Annotated[str, typer.Argument(parser=at_home, metavar="RUN[:ROUND]", help="Whose policy judges.")],
    file: Annotated[
        Path,
        typer.Argument(
            parser=path_at_home, metavar="FILE", help="Labelled pairs: .json, .jsonl or .parquet, as published."
        ),
    ],
    format: Annotated[str, typer.Option(help="pandalm, llmbar, mt_bench or rewardbench.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="judge=… cluster.…=…")] = None,
    num_pairs: Annotated[int | None, typer.Option(min=1, help="Judge a part of the pairs only.")] = None,
    draw: Draw = 0,
    config_dir: ConfigDir = None,
    parts: Parts = None,
) -> None:
    """A round's policy as judge of labelled pairs: accuracy, consistency, Cohen's κ.

    Example: roundelay judge-accuracy runs/demo:2 dataset.json --format llmbar

    Example: roundelay judge-accuracy runs/demo:2 filtered.parquet --format rewardbench judge=additive
    """
    with TerminalProgress(err, 0) as progress:
        sections = judge_labels(
            policy,
            file,
            with_parts(overrides or [], parts or []),
            format=format,
            config_dir=config_dir,
            num_pairs=num_pairs,
            draw=draw,
            observer=progress,
        )
    print_parts(sections)


@app.command("lm-eval")
@reported
def lm_eval(
    policy: Annotated[str, typer.Argument(parser=at_home, metavar="RUN[:ROUND]", help="Whose policy is evaluated.")],
    tasks: Annotated[str, typer.Option(help="Names of lm-eval's tasks, with commas between them.")],
    extra: Annotated[list[str] | None, typer.Argument(help="After --: further words for `lm-eval run`.")] = None,
) -> None:
    """Hand a round's policy to EleutherAI's lm-eval (pip install 'roundelay[eval]').

    Example: roundelay lm-eval runs/demo:2 --tasks gsm8k,arc_easy -- --limit 100
    """
    where = run_harness(policy, tasks, extra or [])
    out.print(plain(f"results: {where}"), soft_wrap=True)


@app.command()
@reported
def recipes(
    name: Annotated[str | None, typer.Argument(help="A recipe: say what it does, phase by phase.")] = None,
    config_dir: ConfigDir = None,
    parts: Parts = None,
) -> None:
    """List every recipe with its paper and how it differs, or say what one does.

    Example: roundelay recipes self_rewarding
    """
    if name is None:
        print_recipes(out, config_dir)
    else:
        print_recipe(out, name, config_dir, parts or [])


def default_name(overrides: list[str], config_dir: Path | None) -> str:
    """RECIPE-MODEL-TIME-RANDOM, from the chosen group members: two runs that begin in one second have two names."""
    chosen = {key: value for key, _, value in (override.partition("=") for override in overrides)}
    recipe = Path(chosen.get("recipe", "self_rewarding")).name
    model = Path(chosen.get("model", "smollm2_135m")).name
    return f"{recipe}-{model}-{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def print_parts(parts: Sequence[Text | Table]) -> None:
    """Print text as it is, however long its lines, and tables as wide as the terminal."""
    for part in parts:
        out.print(part, soft_wrap=isinstance(part, Text))


def follow(config: Config, ledger: Ledger) -> None:
    """Execute with live progress, then print the table."""
    try:
        follow_quietly(config, ledger)
    except KeyboardInterrupt:
        err.print(plain(f"\ninterrupted; go on with: roundelay resume {ledger.url}"), soft_wrap=True)
        raise
    except ConfigError:
        raise
    except RunError as error:
        raise type(error)(error.what, f"{error.remedy}\n  resume: roundelay resume {ledger.url}") from error
    print_run(out, ledger)


def follow_quietly(config: Config, ledger: Ledger) -> None:
    """Execute with live progress and tracking.

    Raises:
        UserError: with what stopped it; what no user can mend is saved in the run's error.log.
    """
    tracker = WandbTracker(config.tracking, ledger.header(), Path(ledger.url)) if config.tracking.wandb else None
    try:
        with TerminalProgress(err, config.run.rounds) as progress:
            execute(config, ledger, Observers(progress, tracker) if tracker else progress)
    except Exception as error:
        if (said := explained(error, ledger)) is error:
            raise
        raise said from error
    finally:
        if tracker:
            tracker.close()


def main() -> None:
    """The `roundelay` command."""
    # Slurm's and Kubernetes' SIGTERM leaves a resumable run, as Ctrl-C does: also where a script started the command in
    # its background, for which shells have Ctrl-C ignored.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app()
