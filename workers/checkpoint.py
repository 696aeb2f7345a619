"""What a learner must remember to go on in the middle of a round, in safetensors files of whole tensors.

Whole tensors, not a rank's share: so another number of ranks or another ZeRO stage can go on from it, and nothing is
ever unpickled. On the same ranks and stage, going on is bitwise the same as never having stopped.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import deepspeed
import torch
from deepspeed.utils import (
    safe_get_full_fp32_param,
    safe_get_full_optimizer_state,
    safe_get_local_fp32_param,
    safe_get_local_optimizer_state,
    safe_set_full_fp32_param,
    safe_set_full_optimizer_state,
    safe_set_local_fp32_param,
    safe_set_local_optimizer_state,
)
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

MOMENTS = ("exp_avg", "exp_avg_sq")  # Adam's
PART, NOTES = "part-{:05d}.safetensors", "notes.json"
PART_BYTES = 1 << 29


def collect(engine: Any, zero_stage: int) -> Iterator[tuple[str, Tensor]]:
    """("weight/NAME" or "MOMENT/NAME", whole tensor on the CPU) of everything trained; a collective call."""
    for name, parameter in _trained(engine.module):
        yield f"weight/{name}", _whole(parameter, None, engine, zero_stage).cpu()
        for moment in MOMENTS:
            yield f"{moment}/{name}", _whole(parameter, moment, engine, zero_stage).cpu()


def write(directory: str, tensors: Iterable[tuple[str, Tensor]], notes: dict[str, Any]) -> None:
    """Write tensors and JSON-able notes; no more than `PART_BYTES` of tensors are in memory at a time."""
    Path(directory).mkdir(parents=True, exist_ok=True)
    for stale in Path(directory).glob("*.safetensors"):
        stale.unlink()
    part: dict[str, Tensor] = {}
    parts = 0
    for name, tensor in tensors:
        part[name] = tensor.contiguous()
        if sum(each.nbytes for each in part.values()) >= PART_BYTES:
            save_file(part, str(Path(directory, PART.format(parts))))
            part, parts = {}, parts + 1
    save_file(part, str(Path(directory, PART.format(parts))))
    Path(directory, NOTES).write_text(json.dumps(notes))


def read(directory: str) -> tuple["Tensors", dict[str, Any]]:
    """The tensors and notes of `write`."""
    return Tensors(directory), json.loads(Path(directory, NOTES).read_text())


class Tensors(Mapping[str, Tensor]):
    """A checkpoint's tensors by name, each read when it is asked for."""

    def __init__(self, directory: str):
        self._files: dict[str, Any] = {}
        for path in sorted(Path(directory).glob("*.safetensors")):
            file = safe_open(str(path), framework="pt")
            self._files |= dict.fromkeys(file.keys(), file)

    def __getitem__(self, name: str) -> Tensor:
        return self._files[name].get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put the trained weights into a module that DeepSpeed has not sharded yet."""
    with torch.no_grad():
        for name, parameter in _trained(module):
            parameter.copy_(tensors[f"weight/{name}"])


def load_optimizer(engine: Any, tensors: Mapping[str, Tensor], *, steps: int, zero_stage: int) -> None:
    """Put Adam's moments, its step count and the float32 master weights into a new engine."""
    for name, parameter in _trained(engine.module):
        if zero_stage == 0:
            moments = {moment: tensors[f"{moment}/{name}"].to(parameter.device) for moment in MOMENTS}
            engine.optimizer.state[parameter] = {"step": torch.tensor(float(steps)), **moments}
            continue
        _set(parameter, None, tensors[f"weight/{name}"], zero_stage)
        for moment in MOMENTS:
            _set(parameter, moment, tensors[f"{moment}/{name}"], zero_stage)
    if zero_stage:
        for state in engine.optimizer.optimizer.state.values():
            state["step"].fill_(float(steps))


def _trained(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad)


def _whole(parameter: nn.Parameter, moment: str | None, engine: Any, zero_stage: int) -> Tensor:
    if zero_stage == 0:
        return (engine.optimizer.state[parameter][moment] if moment else parameter.data).clone()
    whole = safe_get_full_optimizer_state(parameter, moment) if moment else safe_get_full_fp32_param(parameter)
    assert whole is not None
    return whole.clone()


def _set(parameter: nn.Parameter, moment: str | None, whole: Tensor, zero_stage: int) -> None:
    whole = whole.to(parameter.device)
    if zero_stage < 3:
        if moment:
            safe_set_full_optimizer_state(parameter, whole, moment)
        else:
            safe_set_full_fp32_param(parameter, whole)
        return
    # DeepSpeed's full setter refuses a parameter that its ranks share unevenly: set this rank's part, padded as there.
    local = safe_get_local_optimizer_state(parameter, moment) if moment else safe_get_local_fp32_param(parameter)
    assert local is not None
    size, rank = local.numel(), deepspeed.comm.get_rank()
    padded = torch.nn.functional.pad(
        whole.flatten().float(), (0, size * deepspeed.comm.get_world_size() - whole.numel())
    )
    part = padded[rank * size : (rank + 1) * size].view_as(local)
    if moment:
        safe_set_local_optimizer_state(parameter, part, moment)
    else:
        safe_set_local_fp32_param(parameter, part)
