"""A run from the outside: created, resumed, executed."""

import asyncio
import secrets
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from ...orchestrator.cluster.ray import Cluster
from ...orchestrator.config.part_versions import part_versions
from ...orchestrator.config.schema import Config, is_resumable
from ...orchestrator.driver import RoundDriver
from ...orchestrator.errors import ConfigError
from ...orchestrator.ledger.checking import check_manifests
from ...orchestrator.ledger.layout import START
from ...orchestrator.ledger.lease import held
from ...orchestrator.ledger.ledger import FORMAT, Ledger
from ...orchestrator.ledger.policies import newest_policy
from ...orchestrator.ledger.retention import drop_unfinished_metrics, remove_leftovers
from ...orchestrator.prompts.store import PromptStore
from ...orchestrator.protocols import Learner, Observer, Rollouts, Scorers
from ...orchestrator.round.stages import Stages
from ..config.loading import compose_overrides, config_values, flatten, parse_config
from ..phases import build_phase
from .composition import start_learner, start_rollouts, start_scorers
from .drafts import drafted, publish
from .identity import check_identity, located, models_of_run
from .inputs import freeze_inputs
from .preflight import check_packages, check_prompts
from .sources import check_sources


def run_url(config: Config) -> str:
    """Where a run's directory is."""
    return f"{config.run.root.rstrip('/')}/{config.run.name}"


@contextmanager
def create_run(config: Config) -> Iterator[tuple[Config, Ledger]]:
    """Check everything that can be checked without an actor, and write the run directory; held while in use.

    The configuration is the run's own: its model directories are named absolutely.

    Raises:
        ConfigError: the run cannot start; nothing is left behind.
    """
    check_packages()
    url = run_url(config)
    with drafted(url) as draft:
        config, model_path = located(config)
        models = models_of_run(config, model_path)
        inputs = freeze_inputs(config, draft)
        check_sources(config, model_path)
        check_prompts(config, model_path, training_prompts(config, draft), PromptStore(draft, "heldout"))
        draft.create(
            {
                "config": config_values(config),
                "code_version": code_version(),
                "parts": part_versions(config),
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                **models,
                "inputs": inputs,
                "tracker_run_id": secrets.token_hex(4),
            }
        )
        ledger = publish(draft, url)
        try:
            yield config, ledger
        except ConfigError:
            if not ledger.exists("rounds"):  # no actor ever started: the same name may be used again
                ledger.discard()
            raise


@contextmanager
def resume_run(url: str, overrides: Sequence[str]) -> Iterator[tuple[Config, Ledger]]:
    """Open a run, with overrides of what may change; held while in use.

    Raises:
        ConfigError: there is no run, another driver is at work in it, an override would alter finished rounds, or what
            the run began with has changed. Then nothing is written.
        DamagedFile: run.yaml is not what was written, or a round's manifest is gone.
    """
    ledger = Ledger(url)
    ledger.header()
    with held(ledger.root) if ledger.local else nullcontext() as lease:
        ledger.lease = lease
        header = ledger.header()
        check_manifests(ledger, resuming=True)
        config = _resumed_config(ledger, header, overrides)
        values = {**check_identity(config, header), "config": config_values(config)}
        if values != header:
            ledger.write_header(values)
        yield config, ledger


def _resumed_config(ledger: Ledger, header: Mapping[str, Any], overrides: Sequence[str]) -> Config:
    """The configuration to go on with.

    Raises:
        ConfigError: an override would alter finished rounds.
    """
    before = as_it_began(header["config"])
    values = compose_overrides(before, overrides)
    old, new = flatten(before), flatten(values)
    for field in sorted({*old, *new}):
        if old.get(field) != new.get(field) and not is_resumable(field):
            raise ConfigError(
                f"{field}={new.get(field)!r} would alter finished rounds (this run has {old.get(field)!r})",
                "start a new run for it; a resume may change run.rounds, run.keep_policies, cluster.*, tracking.*, "
                "what an alarm does (evaluation.canaries.action, evaluation.min_…), and where the model is "
                "(model.path)",
            )
    config = parse_config(values)
    finished = ledger.finished_rounds()
    if finished and config.run.rounds < finished[-1]:
        raise ConfigError(
            f"run.rounds={config.run.rounds}, but {finished[-1]} rounds are finished", "give as many or more"
        )
    return config


def as_it_began(values: Mapping[str, Any]) -> dict[str, Any]:
    """A run's configuration with what its finished rounds hold where a key is younger than the run: all held-out pairs
    both choose and are reported."""
    return {**values, "evaluation": {"selection_share": None, **values["evaluation"]}}


def training_prompts(config: Config, ledger: Ledger) -> dict[str, PromptStore]:
    """The frozen prompts that the run's phases take theirs from, by `Config.prompt_set`."""
    return {name: PromptStore(ledger, name) for name in sorted(config.prompt_sets)}


def is_finished(config: Config, ledger: Ledger) -> bool:
    finished = ledger.finished_rounds()
    return bool(finished) and finished[-1] >= config.run.rounds


def execute(config: Config, ledger: Ledger, observer: Observer) -> None:
    """Run what is left of a run that is held. Interrupted, it leaves a resumable run.

    Raises:
        UserError: with what stopped it.
    """
    remove_leftovers(ledger)
    drop_unfinished_metrics(ledger)
    asyncio.run(_drive(config, ledger, observer))


async def _drive(config: Config, ledger: Ledger, observer: Observer) -> None:
    observer.stage(0, START, 0, 1, 0)
    cluster = Cluster(config.cluster, scorers=config.needs_scorer)
    try:
        await cluster.place()
        rollouts = start_rollouts(config, cluster, newest_policy(ledger))
        learner = start_learner(config, cluster, ledger)
        scorers = start_scorers(config, cluster)
        await asyncio.gather(rollouts.ready(), learner.ready())
        observer.stage(0, START, 1, 1, 0)
        await make_driver(config, ledger, observer, rollouts=rollouts, learner=learner, scorers=scorers).run()
    finally:
        cluster.close()


def make_driver(
    config: Config,
    ledger: Ledger,
    observer: Observer,
    *,
    rollouts: Rollouts,
    learner: Learner,
    scorers: Scorers | None,
) -> RoundDriver:
    """The driver of a run over actors that are there already."""
    return RoundDriver(
        config=config,
        build=partial(build_phase, scorers=scorers),
        ledger=ledger,
        train=training_prompts(config, ledger),
        heldout=PromptStore(ledger, "heldout"),
        stages=Stages(ledger=ledger, rollouts=rollouts, observer=observer),
        rollouts=rollouts,
        learner=learner,
        scorers=scorers,
    )


def code_version() -> str:
    """The package's version, with the commit where it runs from a checkout."""
    version = metadata.version("roundelay")
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return version
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, check=False
    )
    return f"{version}+{described.stdout.strip()}" if described.returncode == 0 else version


def resume_notes(header: Mapping[str, Any]) -> list[str]:
    """What a resumed run should be told about: another code version than it began with, a format without checksums."""
    notes = []
    if header["code_version"] != (now := code_version()):
        notes.append(
            f"this run began with roundelay {header['code_version']} and goes on with {now}; its parts mean the same"
        )
    return [*notes, *format_notes(header)]


def format_notes(header: Mapping[str, Any]) -> list[str]:
    """What a run directory of an older format lacks."""
    if header["format"] == FORMAT:
        return []
    return [
        f"this run was begun with the run directory format {header['format']}: what was written then carries no "
        "checksums, so damage to those files may go unnoticed"
    ]
