"""The weights in a model's directory, by their files' headers: whole, indexed, and there once. Reads no tensor."""

import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...orchestrator.errors import ConfigError

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2,
    "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1,
}  # fmt: skip
RESTORE = "copy the file again from where the model comes from"


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """Every tensor of a model: its name, and its shape.

    Example:
        Weights(shapes={"model.embed_tokens.weight": (600, 64)})
    """

    shapes: Mapping[str, tuple[int, ...]]


def read_weights(directory: Path, field: str) -> Weights:
    """The tensors of the model in `directory`.

    Raises:
        ConfigError: a file is damaged, or transformers and vLLM would not load the same, whole set of tensors.
    """
    files = sorted(directory.glob("*.safetensors"))
    if (directory / INDEX).is_file():
        if (directory / SINGLE).is_file():
            raise ConfigError(
                f"{field}={directory} holds its weights twice, {SINGLE} beside {INDEX} and its shards: transformers "
                "loads the one, vLLM the others",
                "take away the ones that you do not mean",
            )
        return _indexed(directory, field)
    if not (directory / SINGLE).is_file():
        raise ConfigError(
            f"{field}={directory} holds {', '.join(file.name for file in files)}, but neither {SINGLE} nor {INDEX}",
            f"copy {INDEX} too, or rename a single file to {SINGLE}",
        )
    if others := [file.name for file in files if file.name != SINGLE]:
        raise ConfigError(
            f"{field}={directory} holds {', '.join(others)} beside {SINGLE}: vLLM would load all of them, transformers "
            "only the last",
            "take away what is not the model's",
        )
    return Weights(shapes=read_header(directory / SINGLE, field))


def read_header(file: Path, field: str) -> dict[str, tuple[int, ...]]:
    """The shapes of a file's tensors, by name.

    Raises:
        ConfigError: the file is not what its header says.
    """
    with file.open("rb") as stream:
        size = file.stat().st_size
        if size < 8:
            raise _damaged(field, file, f"{'is empty' if size == 0 else f'is cut: {size} bytes'}")
        (length,) = struct.unpack("<Q", stream.read(8))
        if length > size - 8:
            raise _damaged(field, file, f"is cut, or no safetensors file: {size} bytes, a header of {length}")
        try:
            header = json.loads(stream.read(length))
            tensors = {name: _tensor(entry) for name, entry in header.items() if name != "__metadata__"}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise _damaged(field, file, "is damaged, or no safetensors file: its header cannot be read") from error
    if not tensors:
        raise _damaged(field, file, "holds no tensors")
    needed = 8 + length + max(end for _, end in tensors.values())
    if needed != size:
        raise _damaged(field, file, f"has {size} bytes, and its header speaks of {needed}: it is cut or damaged")
    return {name: shape for name, (shape, _) in tensors.items()}


def _tensor(entry: Any) -> tuple[tuple[int, ...], int]:
    """A tensor's shape, and where it ends."""
    start, end = entry["data_offsets"]
    shape = tuple(int(size) for size in entry["shape"])
    width = BYTES.get(entry["dtype"])
    if width is not None and math.prod(shape) * width != end - start:
        raise ValueError("shape and length disagree")
    return shape, int(end)


def _indexed(directory: Path, field: str) -> Weights:
    weight_map = _weight_map(directory / INDEX, field)
    shapes: dict[str, tuple[int, ...]] = {}
    for name in sorted(set(weight_map.values())):
        if not (directory / name).is_file():
            raise ConfigError(
                f"{field}={directory} lacks {name}, which {INDEX} names for {list(weight_map.values()).count(name)} "
                "tensors",
                RESTORE,
            )
        held = read_header(directory / name, field)
        mapped = {tensor for tensor, file in weight_map.items() if file == name}
        if mapped != held.keys():
            tensor = min(mapped ^ held.keys())
            where = f"is not in {name}, where {INDEX} has it" if tensor in mapped else f"is in {name} against {INDEX}"
            raise ConfigError(
                f"{field}={directory}: the tensor {tensor} {where}", "copy the shards and their index from one source"
            )
        shapes |= {tensor: held[tensor] for tensor in mapped}
    return Weights(shapes=shapes)


def _weight_map(file: Path, field: str) -> dict[str, str]:
    try:
        weight_map = json.loads(file.read_bytes())["weight_map"]
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged(field, file, "is no index of weights (JSON with a weight_map)") from error
    named = isinstance(weight_map, dict) and all(
        isinstance(name, str) and re.fullmatch(r"[^/\\]+\.safetensors", name) for name in weight_map.values()
    )
    if not named or not weight_map:
        raise _damaged(field, file, "is no index of weights (tensors to .safetensors files beside it)")
    return weight_map


def _damaged(field: str, file: Path, what: str) -> ConfigError:
    return ConfigError(f"{field}={file.parent}: {file.name} {what}", RESTORE)
