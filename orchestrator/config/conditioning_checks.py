"""What conditioning needs of the phase that it stands in: refused before any actor starts."""

from ..errors import ConfigError
from ..parts.conditions import check_condition
from ..parts.registry import Place
from .schema import Config


def check_conditioning(config: Config) -> None:
    """Refuse conditions that no loss or no pairing can use, in generation and in learning.

    Raises:
        ConfigError: naming the fields, their values and the remedy.
    """
    generation, objective, kind = config.generation, config.objective, config.conditioning.kind
    if (condition := generation.asked_under()) is not None:
        check_condition("generation.condition", condition)
        if objective.policy_gradient:
            raise ConfigError(
                f"objective.kind={objective.kind} with generation.condition: responses to another prompt than the one "
                "that is trained on bias a policy gradient",
                "set generation.condition=null",
            )
    _check_attributes(config)
    if config.conditioning.says_nothing:
        return
    if objective.examples != "demonstrations":
        raise ConfigError(
            f"conditioning.kind={kind} is for likelihood, and objective.kind={objective.kind} learns nothing of it",
            "set objective=sft, or conditioning=none",
        )
    if generation.rewrites_prompts():
        raise ConfigError(
            f"conditioning.kind={kind} with generation.kind={generation.kind}: its responses are learnt under a prompt "
            "that generation makes, and conditioning would write over it",
            "choose another generation, or conditioning=none",
        )
    _check_pairing(config)


def _check_attributes(config: Config) -> None:
    """A judge of attributes, their annotation and the line that tells them go together; the judge may go alone."""
    annotated = config.pairing.takes == "attributes"
    told = config.conditioning.tells_attributes
    judged = bool(config.judge.attributes())
    if annotated != told or (annotated and not judged):
        raise ConfigError(
            f"judge.kind={config.judge.kind}, pairing.kind={config.pairing.kind} and conditioning.kind="
            f"{config.conditioning.kind}: attributes are judged, annotated and told, or not at all",
            "choose judge=attributes (or attribute_model) pairing=annotated conditioning=attributes together, or "
            "neither of the last two",
        )
    for field, judge in (("judge", config.judge), ("evaluation.judge", config.evaluation.judge)):
        attributes = judge.attributes()
        if judge.trained_by and attributes and attributes != config.prompts.seed.attributes:
            raise ConfigError(
                f"{field}.weights are of {', '.join(attributes)}, but the attribute model's outputs are those of "
                f"prompts.seed.attributes=[{', '.join(config.prompts.seed.attributes)}], in this order",
                f"give {field}.weights the same names in the same order",
            )


def _check_pairing(config: Config) -> None:
    pairing, conditioning = config.pairing, config.conditioning
    conditioning.check(Place(field="conditioning", config=config))
    if conditioning.takes_pairs and (pairing.gives() == "groups" or not pairing.tells_better):
        raise ConfigError(
            f"conditioning.kind={conditioning.kind} chains the two responses of a pair; pairing.kind={pairing.kind} "
            "gives none",
            "choose a pairing of two responses, such as best_worst, contrast or ranked",
        )
    if conditioning.tells_better and not pairing.tells_better:
        raise ConfigError(
            f"conditioning.kind={conditioning.kind} tells better responses from others, but pairing.kind="
            f"{pairing.kind} does not",
            "choose a pairing of two responses, or pairing=group",
        )
    equal = pairing.scores_groups and (pairing.keeps_ties() or pairing.least_responses() < 2)
    if conditioning.tells_better and equal:
        raise ConfigError(
            f"conditioning.kind={conditioning.kind} with pairing.ties={'keep' if pairing.keeps_ties() else 'drop'} and "
            f"pairing.min_responses={pairing.least_responses()}: all responses of an equal group would be the expert's",
            "set pairing.ties=drop and pairing.min_responses=2 (or more)",
        )
