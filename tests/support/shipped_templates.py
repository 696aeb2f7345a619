"""Chat templates of published models, as the packages ship them that the tests install."""

import importlib.util
from pathlib import Path
from typing import Literal

FOLDERS = {"trl": "chat_templates", "vllm": "transformers_utils/chat_templates"}


def shipped_template(package: Literal["trl", "vllm"], name: str) -> str:
    """Read without importing the package, which takes seconds."""
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None
    return (Path(spec.origin).parent / FOLDERS[package] / f"{name}.jinja").read_text(encoding="utf-8")
