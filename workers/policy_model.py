"""A policy's files as a model that learns, and back: reading, writing, and DeepSpeed's configuration around it."""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from ..orchestrator.config import Config
from ..orchestrator.policies import local_copy, publish
from .packing import ATTENTION


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
    """The causal language model at `path`, a directory or URL, with packed attention and without dropout."""
    settings, path = config.model, local_copy(path)
    architecture = AutoConfig.from_pretrained(path, trust_remote_code=settings.trust_remote_code)
    for name, value in architecture.to_dict().items():  # whatever the architecture calls it
        if name.endswith(("dropout", "pdrop")) and isinstance(value, float):
            setattr(architecture, name, 0.0)
    model: Any = AutoModelForCausalLM.from_pretrained(
        path,
        config=architecture,
        attn_implementation=ATTENTION,
        dtype=getattr(torch, settings.dtype),
        trust_remote_code=settings.trust_remote_code,
        use_safetensors=True,
    )
    if config.learner.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    return model.to(device)


def save_model(model: Any, directory: str, weights: dict[str, Tensor], *, adapters: bool) -> None:
    """Write whole weights in transformers' format; a model with adapters is written as one without."""
    if not adapters:
        model.save_pretrained(directory, state_dict=weights)
        return
    with torch.device("meta"):
        plain = AutoModelForCausalLM.from_config(model.config)
    plain.generation_config = model.generation_config
    plain.save_pretrained(directory, state_dict=weights)


def averaged(weights: Iterator[tuple[str, Tensor]], reference: str, decay: float) -> Iterator[tuple[str, Tensor]]:
    """(name, decay·reference + (1 − decay)·weight) with the weights of the policy directory `reference`."""
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(safe_open(str(p), framework="pt")) for p in Path(reference).glob("*.safetensors")]
        holders = {name: file for file in files for name in file.keys()}  # noqa: SIM118 - a file is no mapping
        for name, weight in weights:
            before = holders[name].get_tensor(name).float()
            yield name, (decay * before + (1.0 - decay) * weight.float()).to(weight.dtype)


@contextlib.contextmanager
def directory_for(path: str) -> Iterator[str]:
    """A local directory to write to: `path` itself, or one that is published to the URL `path` afterwards."""
    if "://" not in path:
        yield path
        return
    with tempfile.TemporaryDirectory() as directory:
        yield directory
        publish(directory, path)
