"""A model's files as a model that learns, and back: reading, writing, and DeepSpeed's configuration around it."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification
from transformers.utils import logging

from ..orchestrator.config.schema import Config
from ..orchestrator.errors import ConfigError, RunError
from ..orchestrator.ledger.model_files import local_copy
from .packing import ATTENTION

HEAD = "score.weight"


def deepspeed_config(config: Config) -> dict[str, Any]:
    """DeepSpeed's configuration, with the user's `learner.deepspeed` on top.

    The caller owns accumulation: gradients add up until `step()`.
    """
    learner = config.learner
    ours = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "managed_gradient_accumulation": False,
        "gradient_clipping": learner.max_grad_norm,
        "zero_optimization": {"stage": learner.zero_stage, "overlap_comm": False},
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "bf16": {"enabled": config.model.dtype == "bfloat16"},
        "fp16": {"enabled": config.model.dtype == "float16"},
        "steps_per_print": 10**9,
    }
    return _merged(ours, json.loads(learner.deepspeed))


def _merged(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Nested dictionaries as one; `theirs` wins."""
    both = {
        key: _merged(ours[key], value) if isinstance(value, dict) and isinstance(ours.get(key), dict) else value
        for key, value in theirs.items()
    }
    return {**ours, **both}


def read_model(config: Config, path: str, device: torch.device) -> Any:
    """The causal language model at `path`, a directory or URL, with packed attention and without dropout.

    Raises:
        ConfigError: the files hold another kind of model; transformers would make up what they lack.
    """
    model, report = _read(AutoModelForCausalLM, config, local_copy(path), device)
    if report["missing_keys"] or HEAD in report["unexpected_keys"]:
        lacks = ", ".join(sorted(report["missing_keys"])) or "it is a reward model"
        raise ConfigError(
            f"{path} holds no whole language model ({lacks})",
            "give a directory that AutoModelForCausalLM.save_pretrained wrote",
        )
    return model


def read_scorer(config: Config, path: str, device: torch.device, *, outputs: int = 1) -> Any:
    """The model at `path` as a backbone with a linear head `score`, in transformers' sequence classification format.

    A reward model or critic is read as it was written. A policy lends its backbone, and the head, of so many outputs,
    starts at zero: no noise to unlearn, and no response ahead of another before anything is learnt.

    Raises:
        ConfigError: transformers has no such head for the architecture.
    """
    path = local_copy(path)
    written = _has_tensor(path, HEAD)
    before = logging.get_verbosity()
    logging.set_verbosity_error()  # a policy's missing head is no news
    model: Any = None
    try:
        sizes = {} if written else {"num_labels": outputs}
        model, _ = _read(AutoModelForSequenceClassification, config, path, device, **sizes)
    except ValueError as error:
        if "Unrecognized configuration class" not in str(error):
            raise
    finally:
        logging.set_verbosity(before)
    if not isinstance(getattr(model, "score", None), nn.Linear):
        raise ConfigError(
            f"model.path={config.model.path}: transformers has no linear head `score` for this architecture",
            "use a decoder architecture that has one, such as Llama, Qwen, Mistral or Gemma",
        )
    if not written:
        nn.init.zeros_(model.score.weight)
    return model


def read_reward_model(config: Config, path: str, device: torch.device) -> Any:
    """A reward model as it was written.

    Raises:
        RunError: the files hold no head.
    """
    if not _has_tensor(local_copy(path), HEAD):
        raise RunError(f"{path} holds no reward model: {HEAD} is missing", "restore the directory from a copy")
    return read_scorer(config, path, device)


def read_head(config: Config, path: str, device: torch.device) -> nn.Linear:
    """The head `score` of the model at `path` alone; zeros where it has none."""
    path = local_copy(path)
    size = AutoConfig.from_pretrained(config.model.path).get_text_config().hidden_size
    head = nn.Linear(size, 1, bias=False, dtype=getattr(torch, config.model.dtype), device=device)
    nn.init.zeros_(head.weight)
    for file in Path(path).glob("*.safetensors"):
        with safe_open(str(file), framework="pt") as tensors:
            if HEAD in tensors.keys():  # noqa: SIM118 - a file is no mapping
                with torch.no_grad():
                    head.weight.copy_(tensors.get_tensor(HEAD))
    return head


def save_head(weight: Tensor, directory: str) -> None:
    """Write what `read_head` reads."""
    Path(directory).mkdir(parents=True, exist_ok=True)
    save_file({HEAD: weight}, str(Path(directory, "model.safetensors")))


def _read(
    auto: Any, config: Config, path: str, device: torch.device, **changes: Any
) -> tuple[Any, dict[str, set[str]]]:
    """The model, and what transformers says of its files."""
    settings = config.model
    architecture = AutoConfig.from_pretrained(path, trust_remote_code=settings.trust_remote_code, **changes)
    for name, value in architecture.to_dict().items():  # whatever the architecture calls it
        if name.endswith(("dropout", "pdrop")) and isinstance(value, float):
            setattr(architecture, name, 0.0)
    model, report = auto.from_pretrained(
        path,
        config=architecture,
        attn_implementation=ATTENTION,
        dtype=getattr(torch, settings.dtype),
        trust_remote_code=settings.trust_remote_code,
        use_safetensors=True,
        output_loading_info=True,
    )
    if config.learner.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    return model.to(device), report


def save_model(model: Any, directory: str, weights: dict[str, Tensor], *, adapters: bool) -> None:
    """Write whole weights in transformers' format; a model with adapters is written as one without."""
    if not adapters:
        model.save_pretrained(directory, state_dict=weights)
        return
    with torch.device("meta"):
        plain = type(model)(model.config)
    if model.can_generate():
        plain.generation_config = model.generation_config
    plain.save_pretrained(directory, state_dict=weights)


def _has_tensor(path: str, name: str) -> bool:
    for file in Path(path).glob("*.safetensors"):
        with safe_open(str(file), framework="pt") as tensors:
            if name in tensors.keys():  # noqa: SIM118 - a file is no mapping
                return True
    return False
