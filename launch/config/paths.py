"""Paths as users type them: `~` is the home directory wherever a path is taken, not only where a shell expands it."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Keys of the configuration whose values are paths, or may be.
PATH_KEYS = ("path", "root", "strong", "weak", "samplers")
# In an override's value: one element that begins with ~, of one or of several with commas.
_HOME_ELEMENT = re.compile(r"(?:^|(?<=[,\[]))\s*(~[^\s,\[\]{}'\"]*)")


def at_home(text: str) -> str:
    """The text with a leading `~` or `~user` as that directory; any other text as it is.

    Example:
        >>> at_home("runs/~demo"), at_home("~generation@phases.seed.generation")
        ('runs/~demo', '~generation@phases.seed.generation')
    """
    return os.path.expanduser(text) if re.match(r"~[^/@=]*(/|$)", text) else text


def path_at_home(path: str | Path) -> Path:
    """A path that may begin with `~`."""
    return Path(at_home(str(path)))


def with_home(values: Any, key: str = "") -> Any:
    """Plain containers in which every path of the configuration that begins with `~` is expanded."""
    if isinstance(values, Mapping):
        return {name: with_home(value, name) for name, value in values.items()}
    if key in PATH_KEYS and isinstance(values, list):
        return [with_home(value, key) for value in values]
    return at_home(values) if key in PATH_KEYS and isinstance(values, str) else values


def quoted_home(override: str) -> str:
    """An override in Hydra's grammar, which knows no unquoted `~` in values.

    Example:
        >>> quoted_home("model.path=~/a,~/b"), quoted_home("~judge"), quoted_home("a='~/b'")
        ("model.path='~/a','~/b'", '~judge', "a='~/b'")
    """
    key, equals, value = override.partition("=")
    return f"{key}{equals}{_HOME_ELEMENT.sub(_quoted, value)}" if equals else override


def _quoted(found: re.Match[str]) -> str:
    return f"'{found[1]}'"
