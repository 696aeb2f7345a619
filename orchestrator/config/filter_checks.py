"""What a filter needs of the phase that it stands in."""

from ..errors import ConfigError
from ..parts.registry import Place
from .schema import Config


def check_filter(config: Config) -> None:
    """Refuse a filter that cannot decide on what the phase's pairing gives.

    Raises:
        ConfigError: naming the fields, their values and the remedy.
    """
    filter, pairing = config.filter, config.pairing
    filter.check(Place(field="filter", config=config))
    if (count := filter.keeps_at_most()) is not None:
        _check_count(count, config)
    if pairing.inseparable and not filter.keeps_all:
        raise ConfigError(
            f"filter.kind={filter.kind} with pairing.kind={pairing.kind} would part responses from their validations",
            "choose filter=none",
        )
    if filter.takes_pairs and pairing.gives() != "pairs":
        raise ConfigError(
            f"filter.kind={filter.kind} goes by the two responses of a pair, but pairing.kind={pairing.kind} gives no "
            "pairs",
            "choose filter=none, or a pairing that gives pairs",
        )
    if filter.takes_scores and pairing.takes != "scores":
        raise ConfigError(
            f"filter.kind={filter.kind} goes by scores, which what pairing.kind={pairing.kind} gives need not have",
            "choose pairing=best_worst with a judge that scores, or filter=none",
        )
    if filter.takes_scores and pairing.goes_on:
        raise ConfigError(
            f"filter.kind={filter.kind} goes by the scores of the round, but of a pair of pairing.kind={pairing.kind} "
            "the rejected response was judged in the round before",
            "choose filter=none",
        )
    if filter.drops_responses and pairing.gives() == "groups" and config.objective.examples != "demonstrations":
        raise ConfigError(
            f"filter.kind={filter.kind} drops single responses, but objective.kind={config.objective.kind} compares "
            "all responses to a prompt",
            "choose filter=none, or objective=sft",
        )


def _check_count(count: int, config: Config) -> None:
    generation, pairing = config.generation, config.pairing
    lists = pairing.gives() == "groups"
    if not generation.samples and (pairing.every_given or lists):
        return  # prompts come with as many responses as they like
    samples = generation.responses().number if pairing.every_sampled or lists else 1
    most = config.run.prompts_per_round * samples
    if count >= most:
        raise ConfigError(
            f"filter.count={count} keeps everything: a round has {most} responses at most",
            "lower filter.count, raise run.prompts_per_round, or choose filter=none",
        )
