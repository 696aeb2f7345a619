"""A run from the outside: created, resumed, executed."""

import asyncio
import contextlib
import fcntl
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from ..orchestrator.cluster import Cluster
from ..orchestrator.config import Config, is_resumable
from ..orchestrator.driver import RoundDriver
from ..orchestrator.errors import ConfigError
from ..orchestrator.ledger import Ledger
from ..orchestrator.policies import initial_policy, newest_policy, weights_hash
from ..orchestrator.prompts import PromptStore, freeze_prompts, freeze_seed
from ..orchestrator.protocols import Learner, Observer, Rollouts, Scorers
from ..orchestrator.sampling import model_samplers
from ..orchestrator.stages import Stages
from .composition import start_learner, start_rollouts, start_scorers
from .config_loading import compose_overrides, config_values, flatten, parse_config
from .models import ensure_model, ensure_user_models
from .phases import build_phase
from .preflight import check_packages, check_prompts
from .sources import check_sources


def run_url(config: Config) -> str:
    """Where a run's directory is."""
    return f"{config.run.root.rstrip('/')}/{config.run.name}"


def create_run(config: Config) -> Ledger:
    """Check everything that can be checked without an actor, and write the run directory.

    Raises:
        ConfigError: the run cannot start; nothing is left behind.
    """
    check_packages()
    ledger = Ledger(run_url(config))
    ledger.check_free()
    try:
        model_path = ensure_model(config.model)
        models = ensure_user_models(config, model_path)
        inputs = {
            name: freeze_prompts(ledger, config.prompts, field=f"prompts.{name}.path", source=source, name=name)
            for name, source in (("train", config.prompts.train), ("heldout", config.prompts.heldout))
        }
        check_sources(config, model_path)
        if "seed" in config.prompt_sets:
            inputs["seed"] = freeze_seed(ledger, config.prompts)
        check_prompts(config, model_path, training_prompts(config, ledger), PromptStore(ledger, "heldout"))
    except BaseException:
        ledger.remove()
        raise
    ledger.create(
        {
            "config": config_values(config),
            "code_version": code_version(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "initial_policy": {"path": model_path, "sha256": weights_hash(model_path)},
            "models": models,
            "sources": {path: weights_hash(path) for path in model_samplers(config)},
            "inputs": inputs,
            "tracker_run_id": secrets.token_hex(4),
        }
    )
    return ledger


def resume_run(url: str, overrides: Sequence[str]) -> tuple[Config, Ledger]:
    """Open a run, with overrides of what may change.

    Raises:
        ConfigError: there is no run, an override would alter finished rounds, or the initial policy's files changed.
    """
    ledger = Ledger(url)
    header = ledger.header()
    before = header["config"]
    values = compose_overrides(before, overrides)
    old, new = flatten(before), flatten(values)
    for field in sorted({*old, *new}):
        if old.get(field) != new.get(field) and not is_resumable(field):
            raise ConfigError(
                f"{field}={new.get(field)!r} would alter finished rounds (this run has {old.get(field)!r})",
                "start a new run for it; a resume may change run.rounds, run.keep_policies, cluster.*, tracking.* and "
                "what an alarm does (evaluation.canaries.action, evaluation.min_…)",
            )
    config = parse_config(values)
    finished = ledger.finished_rounds()
    if finished and config.run.rounds < finished[-1]:
        raise ConfigError(
            f"run.rounds={config.run.rounds}, but {finished[-1]} rounds are finished", "give as many or more"
        )
    initial = initial_policy(ledger)
    if weights_hash(ensure_model(config.model)) != initial.sha256:
        raise ConfigError(
            f"model.path={config.model.path} holds other weights than when the run began",
            "restore them: references and evaluation are measured against them",
        )
    models = ensure_user_models(config, initial.path)
    for name, model in header["models"].items():
        if models[name]["sha256"] != model["sha256"]:
            raise ConfigError(
                f"{name}, which a judge compares with, holds other weights than when the run began",
                "restore them: a round's responses are judged by the same models",
            )
    for path, sha256 in header["sources"].items():
        if weights_hash(path) != sha256:
            raise ConfigError(
                f"generation.samplers: {path} holds other weights than when the run began", "restore them"
            )
    if values != before:
        ledger.write_header({**header, "config": config_values(config)})
    return config, ledger


def training_prompts(config: Config, ledger: Ledger) -> dict[str, PromptStore]:
    """The frozen prompts that the run's phases take theirs from, by `Config.prompt_set`."""
    return {name: PromptStore(ledger, name) for name in sorted(config.prompt_sets)}


def is_finished(config: Config, ledger: Ledger) -> bool:
    finished = ledger.finished_rounds()
    return bool(finished) and finished[-1] >= config.run.rounds


def execute(config: Config, ledger: Ledger, observer: Observer) -> None:
    """Run what is left of a run. Interrupted, it leaves a resumable run.

    Raises:
        UserError: with what stopped it.
    """
    with _only_driver(ledger):
        ledger.drop_unfinished_metrics()
        asyncio.run(_drive(config, ledger, observer))


async def _drive(config: Config, ledger: Ledger, observer: Observer) -> None:
    observer.stage(0, "start", 0, 1, 0)
    cluster = Cluster(config.cluster, scorers=config.needs_scorer)
    try:
        await cluster.place()
        rollouts = start_rollouts(config, cluster, newest_policy(ledger))
        learner = start_learner(config, cluster, ledger)
        scorers = start_scorers(config, cluster)
        await asyncio.gather(rollouts.ready(), learner.ready())
        observer.stage(0, "start", 1, 1, 0)
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


@contextlib.contextmanager
def _only_driver(ledger: Ledger) -> Iterator[None]:
    """Hold the run directory's lock; the system frees it however the driver ends."""
    if not ledger.local:
        yield
        return
    with open(ledger.path("run.lock"), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"another driver is at work in {ledger.url}", "wait for it, or stop it, and resume"
            ) from error
        yield


def code_version() -> str:
    """The package's version, with the commit where it runs from a checkout."""
    version = metadata.version("roundelay")
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return version
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, check=False
    )
    return f"{version}+{described.stdout.strip()}" if described.returncode == 0 else version


def environment_note(header: dict[str, Any]) -> str | None:
    """What a resumed run should be told about: another code version than it began with."""
    if header["code_version"] != (now := code_version()):
        return f"this run began with roundelay {header['code_version']} and goes on with {now}"
    return None
