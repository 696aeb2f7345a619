"""What is imitated or described, and what is not: combinations of pairing and supervised learning."""

from ..errors import ConfigError
from .schema import Config


def check_agreement(config: Config) -> None:
    """Refuse agreement without a validator that could agree.

    Raises:
        ConfigError: naming the judge.
    """
    if config.pairing.takes == "validations" and not config.judge.validates:
        raise ConfigError(
            f"pairing.kind={config.pairing.kind} needs a validator's answers, but judge.kind={config.judge.kind}",
            "choose judge=validator",
        )


def check_imitation(config: Config) -> None:
    """Refuse a comparison of what has nothing to be compared with, and the imitation of all scored responses.

    Raises:
        ConfigError: naming the fields, their values and the remedy.
    """
    objective, pairing = config.objective, config.pairing
    imitates = objective.examples == "demonstrations"
    if objective.examples == "described":
        return _check_regression(config)
    if pairing.gives() == "demonstrations" and not imitates:
        raise ConfigError(
            f"pairing.kind={pairing.kind} has nothing to compare a response with, but objective.kind={objective.kind} "
            "compares",
            "choose objective=sft, or a pairing of two responses",
        )
    told_apart = config.filter.drops_responses or not config.conditioning.says_nothing
    if pairing.scores_groups and imitates and not told_apart:
        raise ConfigError(
            f"pairing.kind={pairing.kind} with objective.kind=sft and filter.kind={config.filter.kind} would imitate "
            "the worst responses as it does the best",
            "choose filter=score_threshold, top_fraction or longest, conditioning=classes, or pairing=best_worst",
        )


def _check_regression(config: Config) -> None:
    """What people say is said of given responses, one a prompt."""
    seed = config.prompts.seed
    if config.generation.samples or not config.pairing.imitates_as_given:
        raise ConfigError(
            f"objective.kind=attribute_regression learns what people say of given responses, but generation.kind="
            f"{config.generation.kind} and pairing.kind={config.pairing.kind}",
            "choose generation=given judge=none pairing=demonstrations",
        )
    if not seed.attributes or len(seed.responses) != 1:
        raise ConfigError(
            f"objective.kind=attribute_regression with prompts.seed.responses=[{', '.join(seed.responses)}] and "
            f"prompts.seed.attributes=[{', '.join(seed.attributes)}]: every response needs its own values",
            "name one column of responses, and the columns of numbers that describe it",
        )
