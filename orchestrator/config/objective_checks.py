"""What an objective alone, or its reference, makes impossible."""

from ..errors import ConfigError
from ..parts.registry import Place
from .schema import Config


def check_objective(config: Config) -> None:
    """Refuse what an objective cannot be computed from.

    Raises:
        ConfigError: naming the fields, their values and the remedy.
    """
    objective, reference = config.objective, config.objective.reference
    if objective.needs_reference == "never" and reference.policy != "none":
        raise ConfigError(
            f"objective.kind={objective.kind} has no reference, but objective.reference.policy={reference.policy}",
            "set objective.reference.policy=none",
        )
    if objective.needs_reference == "always" and reference.policy == "none":
        raise ConfigError(
            f"objective.kind={objective.kind} is defined by its reference, but objective.reference.policy=none",
            "set objective.reference.policy=previous or initial",
        )
    if (reference.policy == "average") != (reference.decay is not None):
        raise ConfigError(
            f"objective.reference.policy={reference.policy} with objective.reference.decay={reference.decay}: an "
            "average has a decay, and nothing else has",
            "set objective.reference.decay for policy=average (0.9, say), or leave it null",
        )
    if reference.logps == "rollout" and reference.policy != "previous":
        raise ConfigError(
            f"objective.reference.logps=rollout takes the sampler's log-probs, which are those of the previous "
            f"policy, but objective.reference.policy={reference.policy}",
            "set objective.reference.logps=recompute, or objective.reference.policy=previous",
        )
    objective.check(Place(field="objective", config=config))
