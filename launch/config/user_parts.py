"""Modules of the user's that register parts: named by `parts` in a configuration, or by `--parts`."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ...orchestrator.errors import ConfigError
from ...orchestrator.parts.user_functions import MODULE_NAME, load_module


def load_parts(values: Mapping[str, Any]) -> None:
    """Import the user's modules that `parts` names, so that the kinds are known that they register.

    Raises:
        ConfigError: one is no module, cannot be imported, or registers a kind that there is.
    """
    named = values.get("parts")
    for name in named if isinstance(named, Sequence) and not isinstance(named, str) else ():
        if not isinstance(name, str) or not re.fullmatch(MODULE_NAME, name):
            raise ConfigError(f"parts=[{name}]: this is no module's name", "name it as package.module")
        load_module(name, f"parts=[{name}]")


def with_parts(overrides: Sequence[str], parts: Sequence[str]) -> list[str]:
    """Overrides, with the modules that `--parts` names."""
    return [*overrides, *([f"parts=[{','.join(parts)}]"] if parts else [])]
