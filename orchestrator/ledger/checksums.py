"""Checksums: of files, of model directories, and of JSON and YAML files that carry their own.

Owns how a hash is taken and what is said when it differs; which file has which hash is the ledger's.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import DamagedFile

SEAL = "sha256"  # the key under which a JSON or YAML file carries its own checksum
CHUNK = 1 << 22

Hashes: TypeAlias = tuple[str, dict[str, str]]  # of a model's weights, and of each of its files

# What decides which tokens and weights a model directory stands for: weights, architecture, tokenizer, chat template,
# generation settings, and code that it brings along.
MODEL_FILES = (
    "*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken", "*.py", "additional_chat_templates/*.jinja",
)  # fmt: skip


def bytes_hash(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def file_hash(path: str | Path) -> str:
    """SHA-256 over a local file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sealed(value: Mapping[str, Any], place: str) -> dict[str, Any]:
    """A mapping of plain containers with its own checksum in it, for the file at `place`: elsewhere it is damage.

    Example:
        >>> unsealed(sealed({"a": 1}, "run.yaml"), "run.yaml", "runs/demo/run.yaml")
        {'a': 1}
    """
    assert SEAL not in value, "a file carries one checksum"
    return {**value, SEAL: _content_hash(value, place)}


def unsealed(value: Any, place: str, path: str) -> dict[str, Any]:
    """The mapping that `sealed` made into `value`, read from `path`.

    Raises:
        DamagedFile: it is another one, or that of another place.
    """
    if not isinstance(value, dict) or SEAL not in value:
        raise DamagedFile.at(path, "it carries no checksum: it was cut, emptied or written by something else")
    content = {key: item for key, item in value.items() if key != SEAL}
    if value[SEAL] != _content_hash(content, place):
        raise DamagedFile.at(path, "its checksum differs: it is not what was written here")
    return content


def model_files(directory: str | Path) -> dict[str, str]:
    """The SHA-256 of every file of a model directory that decides what the model is, by name.

    Names are relative to the directory ("additional_chat_templates/rag.jinja").
    """
    root = Path(directory)
    paths = {path for pattern in MODEL_FILES for path in root.glob(pattern) if path.is_file()}
    return {str(path.relative_to(root)): file_hash(path) for path in sorted(paths)}


def hashes_of(directory: str | Path) -> Hashes:
    """What the ledger records of a model directory."""
    return weights_hash(directory), model_files(directory)


def weights_hash(directory: str | Path) -> str:
    """SHA-256 over a model directory's safetensors files, in name order."""
    digest = hashlib.sha256()
    for path in sorted(Path(directory).glob("*.safetensors")):
        digest.update(path.name.encode())
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def differing_files(directory: str | Path, files: Mapping[str, str]) -> list[str]:
    """What distinguishes a model directory from recorded `files`, in words; nothing where it is the same.

    Example: ["tokenizer.json was changed", "model.safetensors is gone"]
    """
    found = model_files(directory)
    gone = [f"{name} is gone" for name in files if name not in found]
    changed = [f"{name} was changed" for name in files if name in found and found[name] != files[name]]
    new = [f"{name} was added" for name in found if name not in files]
    return [*gone, *changed, *new]


def _content_hash(value: Mapping[str, Any], place: str) -> str:
    return bytes_hash(json.dumps([place, value], sort_keys=True, allow_nan=False).encode())
