"""The config groups' files: which there are, what a file says, and words on the command line that name none."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from ...orchestrator.errors import ConfigError

CONFIG_ROOT = Path(str(files("roundelay.configs")))
GROUPS = (
    "recipe", "model", "prompts", "new_prompts", "generation", "judge", "pairing", "filter", "conditioning",
    "objective", "learner", "evaluation", "cluster", "tracking",
)  # fmt: skip
EXAMPLES = {"run": "rounds=3", "phases": "NAME.rounds=2"}


def check_directory(config_dir: Path | None) -> None:
    """Refuse a `--config-dir` that is none.

    Raises:
        ConfigError: naming it.
    """
    if config_dir is not None and not config_dir.is_dir():
        raise ConfigError(f"--config-dir {config_dir} is no directory", "give the directory that holds your groups")


def check_words(overrides: Sequence[str]) -> None:
    """Refuse what Hydra would take and make nothing of.

    Raises:
        ConfigError: naming the override.
    """
    for text in overrides:
        key, _, value = text.partition("=")
        name = key.lstrip("+~")
        if re.split(r"[./]", name)[0] in ("hydra", "defaults"):
            raise ConfigError(f"{text} would do nothing: that is Hydra's own", "leave it out")
        if name in ("run", "phases") and "=" in text:
            raise ConfigError(
                f"{text}: {name} is no group to choose", f"set what is in it, such as {name}.{EXAMPLES[name]}"
            )
        if name.partition("@")[0] in GROUPS and re.fullmatch(r"[+-]?\d+(\.\d+)?|true|false|\[.*|\{.*", value.strip()):
            raise ConfigError(f"{text}: a config group takes the name of one of its members", f"`{name}=NAME`")


def group_members(group: str, config_dir: Path | None = None) -> list[str]:
    """The names of a config group's members, the user's own included.

    Raises:
        ConfigError: `config_dir` is no directory.
    """
    check_directory(config_dir)
    found = (path for root in _roots(config_dir) for path in (root / group).glob("*.yaml"))
    return sorted({path.stem for path in found if path.is_file()})


def file_values(group: str, member: str, config_dir: Path | None = None) -> Mapping[str, Any]:
    """What a member's file says itself, without its defaults; empty if it is no YAML mapping (composing says why)."""
    path = next(path for root in _roots(config_dir) if (path := root / group / f"{member}.yaml").is_file())
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError:
        return {}
    return values if isinstance(values, Mapping) else {}


def _roots(config_dir: Path | None) -> list[Path]:
    """Where groups are, the first found counts: the user's own, then the shipped ones."""
    return [*([config_dir] if config_dir else []), CONFIG_ROOT]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to a misspelt one."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def undecodable(config_dir: Path | None) -> Path | None:
    """The user's file that is no UTF-8."""
    for file in sorted(config_dir.rglob("*.yaml")) if config_dir else ():
        try:
            file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return file
        except OSError:
            continue
    return None


def is_override(word: str) -> bool:
    """Whether a word is an override rather than a run.

    Example:
        >>> is_override("judge.orders=both"), is_override("s3://bucket/a=b:2")
        (True, False)
    """
    return re.match(r"[+~]*[\w.@]+=", word) is not None
