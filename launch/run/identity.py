"""What a run is, its models' files and its parts' versions: recorded when it begins, compared when it goes on."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...orchestrator.config.part_versions import check_part_versions
from ...orchestrator.config.schema import Config
from ...orchestrator.errors import ConfigError
from ...orchestrator.ledger.checksums import differing_files, hashes_of, weights_hash
from ...orchestrator.parts.sampling import is_model_path
from ...orchestrator.round.samplers import model_samplers, source_values
from ..config.loading import config_values, parse_config
from .models import ensure_model, ensure_user_models


def model_identity(path: str) -> dict[str, Any]:
    """What `run.yaml` keeps of a model directory: where it lies, the hash of its weights, and each file's."""
    sha256, files = hashes_of(path)
    return {"path": path, "sha256": sha256, "files": files}


def models_of_run(config: Config, model_path: str) -> dict[str, Any]:
    """The part of `run.yaml` that says which models a run began with.

    Raises:
        ConfigError: one cannot be had.
    """
    named = ensure_user_models(config, model_path)
    return {
        "initial_policy": model_identity(model_path),
        "models": {name: model_identity(path) for name, path in named.items()},
        "sources": {path: model_identity(path) for path in model_samplers(config)},
    }


def located(config: Config) -> tuple[Config, str]:
    """A run's configuration, and where its initial policy lies. Local model directories are named absolutely, so that a
    resume from another directory finds them, and the day is fixed that chat templates take for today.

    Raises:
        ConfigError: the model cannot be had.
    """
    path = ensure_model(config.model)
    local = (Path(config.model.path).expanduser() / "config.json").is_file()
    date = config.model.date or datetime.now(UTC).date()
    model = replace(config.model, date=date, path=path if local else config.model.path)
    return parse_config(_absolute(config_values(replace(config, model=model)))), path


def check_identity(config: Config, header: Mapping[str, Any]) -> dict[str, Any]:
    """Compare what a run goes on with, with what it began with.

    Returns:
        the header, with the initial policy's directory where it was moved.

    Raises:
        ConfigError: a model's files are other ones, or a part has come to mean something else.
    """
    check_part_versions(config, header.get("parts", {}), header["code_version"])
    path = ensure_model(config.model)
    _check_model("model.path", config.model.path, path, header["initial_policy"])
    named = ensure_user_models(config, path)
    for name, kept in header["models"].items():
        _check_model("a judge's model", name, named[name], kept)
    for sampler in header["sources"]:
        _check_model("generation.samplers", sampler, sampler, source_values(header["sources"], sampler))
    return {**header, "initial_policy": {**header["initial_policy"], "path": path}}


def _check_model(field: str, name: str, path: str, kept: Mapping[str, Any]) -> None:
    if "files" in kept:
        differing = differing_files(path, kept["files"])
    else:  # format 1 recorded the weights alone
        differing = [] if weights_hash(path) == kept["sha256"] else ["its weights were changed"]
    if differing:
        raise ConfigError(
            f"{field}={name} is another model than when the run began: {'; '.join(differing)}",
            "restore it: what the run sampled, judged and learnt depends on it"
            + (
                "; if the model was moved, say where it is: roundelay resume RUN model.path=DIRECTORY"
                if field == "model.path"
                else ""
            ),
        )


def _absolute(values: dict[str, Any]) -> dict[str, Any]:
    """Plain containers of a configuration with absolute model directories."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found[key] = _absolute(value)
        elif key == "samplers" and isinstance(value, list):
            found[key] = [_absolute_directory(one) if is_model_path(one) else one for one in value]
        elif key in ("strong", "weak") and isinstance(value, str):
            found[key] = _absolute_directory(value)
        else:
            found[key] = value
    return found


def _absolute_directory(name: str) -> str:
    """A name, made absolute where it is a directory here; hub names stay."""
    path = Path(name).expanduser()
    return str(path.resolve()) if (path / "config.json").is_file() else name
