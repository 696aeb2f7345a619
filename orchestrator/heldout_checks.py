"""What is measured on held-out pairs, and what they are made by: combinations that do not fit."""

from .config import Config
from .errors import ConfigError
from .objective_config import LISTWISE, RewardModelObjective, SppoObjective
from .update_checks import WITHOUT_ACCURACY


def check_heldout(phase: Config, config: Config) -> None:
    """Refuse a measure on the held-out pairs of round 0 that cannot take them. `config` is the whole run's.

    Raises:
        ConfigError: naming the fields, their values and the remedy.
    """
    trains_judge, extrapolation = isinstance(phase.objective, RewardModelObjective), phase.learner.extrapolation
    searched = extrapolation if extrapolation is not None and len(extrapolation.alphas) > 1 else None
    selection = phase.learner.selection or searched
    field = "learner.selection" if phase.learner.selection else "learner.extrapolation"
    if not trains_judge and selection is None:
        return
    kind, pairing = phase.objective.kind, config.pairing
    wrong = pairing.gives() == "groups" and kind not in LISTWISE
    wrong |= pairing.gives() == "demonstrations" and kind != "sft"
    wrong |= config.judge.knows_truth  # of held-out responses nothing is known
    wrong |= (pairing.gives() == "critiques") != (kind == "cut")
    wrong |= (kind == "wrpo") and pairing.beside != "source"
    if wrong or (is_soft_sppo(phase) and pairing.beside != "win_probabilities"):
        raise ConfigError(
            f"the held-out pairs are made by pairing.kind={pairing.kind} at the top of the configuration, and "
            f"objective.kind={kind}{' with objective.probabilities=soft' if is_soft_sppo(phase) else ''} cannot be "
            "measured on them",
            "set the pairing at the top to one that this phase could have"
            + ("" if trains_judge else f", or {field}=null"),
        )
    if selection is not None and phase.objective.reference.logps == "rollout":
        raise ConfigError(
            f"{field} with objective.reference.logps=rollout: the held-out pairs were sampled by the initial policy, "
            "and their log-probs are not those of the previous one",
            "set objective.reference.logps=recompute",
        )
    if selection is not None and selection.metric == "accuracy" and kind in WITHOUT_ACCURACY:
        raise ConfigError(
            f"{field}.metric=accuracy, but objective.kind={kind} has none",
            f"set {field}.metric=loss",
        )


def is_soft_sppo(config: Config) -> bool:
    """Whether a phase's objective takes win probabilities as they are."""
    return isinstance(config.objective, SppoObjective) and config.objective.probabilities == "soft"
