"""Weighted sums of policies, from files to files: extrapolation, averages of rounds, moving averages.

Works on what is published, one weight at a time: no engine, ZeRO stage or adapter changes anything of it.
"""

import contextlib
import shutil
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..orchestrator.errors import RunError


def write_mixture(directory: str, parts: Sequence[tuple[str, float]]) -> None:
    """Write Σ coefficient·policy over local policy directories, with the files, names and dtypes of the first.

    The files hold parameters only, and tied ones once. Sums are taken in float64 and rounded once; a coefficient of 0
    leaves its policy out. So one policy with coefficient 1 is written as it is, to the bit.

    Raises:
        RunError: another policy lacks a weight of the first, or has it in another shape.
    """
    first = Path(parts[0][0])
    target = Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    for stale in target.iterdir():
        stale.unlink()
    with contextlib.ExitStack() as stack:
        opened = [(_tensors(path, stack), coefficient) for path, coefficient in parts if coefficient]
        for file in sorted(first.iterdir()):
            if file.suffix != ".safetensors":
                shutil.copyfile(file, target / file.name)
                continue
            with safe_open(str(file), framework="pt") as own:
                mixed = {name: _mixed(name, own.get_tensor(name), opened) for name in own.keys()}  # noqa: SIM118
                save_file(mixed, str(target / file.name), metadata=own.metadata())


def _mixed(name: str, own: Tensor, parts: Sequence[tuple[dict[str, Any], float]]) -> Tensor:
    terms = []
    for tensors, coefficient in parts:
        file = tensors.get(name)
        weight = None if file is None else file.get_tensor(name)
        if weight is None or weight.shape != own.shape:
            raise RunError(
                f"policies of different shape cannot be mixed: {name} is {tuple(own.shape)} in one and "
                f"{None if weight is None else tuple(weight.shape)} in another",
                "mix policies that began as one model",
            )
        terms.append(coefficient * weight.double())
    return reduce(torch.add, terms).to(own.dtype)


def _tensors(path: str, stack: contextlib.ExitStack) -> dict[str, Any]:
    """The open file that holds each tensor of a directory."""
    paths = sorted(Path(path).glob("*.safetensors"))
    files = [stack.enter_context(safe_open(str(file), framework="pt")) for file in paths]
    return {name: file for file in files for name in file.keys()}  # noqa: SIM118 - a file is no mapping
