"""What is measured on held-out pairs, and what they are made by: combinations that do not fit."""

from ..errors import ConfigError
from .schema import Config


def check_heldout(phase: Config, config: Config) -> None:
    """Refuse a measure on the held-out pairs of round 0 that cannot take them. `config` is the whole run's.

    Raises:
        ConfigError: naming the fields, their values and the remedy.
    """
    objective, extrapolation = phase.objective, phase.learner.extrapolation
    searched = extrapolation if extrapolation is not None and len(extrapolation.alphas) > 1 else None
    selection = phase.learner.selection or searched
    field = "learner.selection" if phase.learner.selection else "learner.extrapolation"
    if not objective.measures_heldout and selection is None:
        return
    takes, pairing = objective.examples, config.pairing
    contests = objective.pairs_with() == "win_probabilities"
    wrong = pairing.gives() == "groups" and not objective.ranks
    wrong |= pairing.gives() == "demonstrations" and takes != "demonstrations"
    wrong |= config.judge.knows_truth  # of held-out responses nothing is known
    wrong |= (pairing.gives() == "critiques") != (takes == "critiqued")
    wrong |= (takes == "sourced") and pairing.beside != "source"
    if wrong or (contests and pairing.beside != "win_probabilities"):
        raise ConfigError(
            f"the held-out pairs are made by pairing.kind={pairing.kind} at the top of the configuration, and "
            f"objective.kind={objective.kind}{' with objective.probabilities=soft' if contests else ''} cannot be "
            "measured on them",
            "set the pairing at the top to one that this phase could have"
            + ("" if objective.measures_heldout else f", or {field}=null"),
        )
    if selection is not None and objective.reference.logps == "rollout":
        raise ConfigError(
            f"{field} with objective.reference.logps=rollout: the held-out pairs were sampled by the initial policy, "
            "and their log-probs are not those of the previous one",
            "set objective.reference.logps=recompute",
        )
    if selection is not None and selection.metric == "accuracy" and not objective.has_accuracy:
        raise ConfigError(
            f"{field}.metric=accuracy, but objective.kind={objective.kind} has none",
            f"set {field}.metric=loss",
        )
