"""What the parts of a recipe mean, as numbers: a run goes on only with parts that mean what they meant when it began.

A part's number rises when the same input comes to mean something else: another reading of the same text, another pair
of the same scores, another rate at the same step. Not when it becomes faster, or says more.
"""

from collections.abc import Mapping
from typing import get_args

from ..errors import ConfigError
from ..parts.registry import Group
from .schema import Config

# 2: the warm-up counts a step by its end, so that no step has rate 0.
WARMUP = 2


def part_versions(config: Config) -> dict[str, int]:
    """The version of every part that a run uses, by "GROUP.KIND". (A run that recorded none began with the first ones.)

    Example: {"generation.plain": 1, "judge.additive": 2, "learner.warmup": 2}
    """
    phases = [config, *(config.in_phase(name) for name in config.phases)]
    parts = [(group, getattr(phase, group)) for phase in phases for group in get_args(Group) if group != "judge"]
    parts += [("judge", judge) for judge in config.judges.values()]
    parts += [("objective", term.loss) for phase in phases for term in phase.objective.further()]
    versions = {f"{group}.{part.kind}": part.version for group, part in parts}
    if any(phase.learner.warmup_fraction for phase in phases):
        versions["learner.warmup"] = WARMUP
    return dict(sorted(versions.items()))


def check_part_versions(config: Config, recorded: Mapping[str, int], began_with: str) -> None:
    """Refuse to go on where a part has come to mean something else.

    Args:
        recorded: the versions that the run began with; a part that is missing has 1.
        began_with: the version of Roundelay that the run began with.

    Raises:
        ConfigError: naming the parts.
    """
    changed = [
        f"{part} (version {recorded.get(part, 1)}, here {version})"
        for part, version in part_versions(config).items()
        if recorded.get(part, 1) != version
    ]
    if changed:
        raise ConfigError(
            f"the meaning of {', '.join(changed)} has changed since the run began: its rounds would not be of one kind",
            f"finish it with the version that began it (roundelay {began_with}; for a part of your own, its module of "
            "then), or start a new run",
        )
