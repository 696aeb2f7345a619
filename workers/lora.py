"""Low-rank adapters (LoRA, arXiv 2106.09685): what is trained in a large model's stead, and the model with them merged.

Outside the learner there are no adapters: policies are saved and synced merged, and every round begins new ones.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from peft import LoraConfig as PeftConfig
from peft import inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from ..orchestrator.config.schema import LoraConfig

ADAPTER = "default"


class Gather(Protocol):
    """Makes sharded parameters whole for as long as the context lasts."""

    def __call__(self, parameters: list[nn.Parameter], /) -> AbstractContextManager[Any]: ...


def add_adapters(model: Any, config: LoraConfig) -> Any:
    """`model` with adapters on its linear layers; everything else is frozen. B is zero: nothing has changed yet."""
    settings = PeftConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        target_modules=list(config.target_modules) or "all-linear",
        lora_dropout=0.0,
    )
    if not config.target_modules:
        settings.exclude_modules = ["lm_head", "score"]
    return inject_adapter_in_model(settings, model, adapter_name=ADAPTER)


def full_weights(model: nn.Module, gather: Gather, *, sharded: bool) -> Iterator[tuple[str, Tensor]]:
    """(name, full tensor) in the names of a plain checkpoint, adapters merged, one weight at a time."""
    layers: dict[str, Any] = {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            continue
        layer = layers.get(name.removesuffix(".base_layer.weight"))
        adapters = [] if layer is None else [layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight]
        with gather([parameter, *adapters]), torch.no_grad():
            full = parameter.detach()
            if layer is not None:
                full = full + layer.get_delta_weight(ADAPTER)
            # A gathered parameter is taken away again; one that is whole anyway needs no copy of its own.
            yield name.replace(".base_layer", ""), full.clone() if sharded else full
