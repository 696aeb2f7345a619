"""What a filter needs of the phase that it stands in."""

from .config import Config
from .errors import ConfigError
from .filter_config import (
    LengthMarginFilter,
    LongestFilter,
    MeanLabelFilter,
    NoFilter,
    ResponseFilter,
    RipFilter,
    ScoredFilter,
)
from .generation_config import GivenGeneration, PlainGeneration
from .pairing_config import (
    AgreementPairing,
    AnnotatedPairing,
    CritiquedPairing,
    DemonstrationsPairing,
    FutureGuidedPairing,
    GroupPairing,
    ScoredPairing,
    gives_groups,
    gives_pairs,
)


def check_filter(config: Config) -> None:
    """Refuse a filter that cannot decide on what the phase's pairing gives.

    Raises:
        ConfigError: naming the fields, their values and the remedy.
    """
    filter, pairing = config.filter, config.pairing
    if isinstance(filter, RipFilter):
        _check_quantiles(filter)
    if isinstance(filter, LongestFilter):
        _check_count(filter, config)
    if isinstance(pairing, AgreementPairing) and not isinstance(filter, NoFilter):
        raise ConfigError(
            f"filter.kind={filter.kind} with pairing.kind=agreement would part responses from their validations",
            "choose filter=none",
        )
    if isinstance(filter, RipFilter | LengthMarginFilter | MeanLabelFilter) and not gives_pairs(pairing):
        raise ConfigError(
            f"filter.kind={filter.kind} goes by the two responses of a pair, but pairing.kind={pairing.kind} gives no "
            "pairs",
            "choose filter=none, or a pairing that gives pairs",
        )
    if isinstance(filter, ScoredFilter) and not isinstance(pairing, GroupPairing | ScoredPairing):
        raise ConfigError(
            f"filter.kind={filter.kind} goes by scores, which what pairing.kind={pairing.kind} gives need not have",
            "choose pairing=best_worst with a judge that scores, or filter=none",
        )
    if isinstance(filter, ScoredFilter) and isinstance(pairing, FutureGuidedPairing):
        raise ConfigError(
            f"filter.kind={filter.kind} goes by the scores of the round, but of a pair of pairing.kind=future_guided "
            "the rejected response was judged in the round before",
            "choose filter=none",
        )
    if isinstance(filter, ResponseFilter) and gives_groups(pairing) and config.objective.kind != "sft":
        raise ConfigError(
            f"filter.kind={filter.kind} drops single responses, but objective.kind={config.objective.kind} compares "
            "all responses to a prompt",
            "choose filter=none, or objective=sft",
        )


def _check_quantiles(filter: RipFilter) -> None:
    for name in ("rejected_score", "rejected_length", "margin"):
        threshold = getattr(filter, name)
        if threshold.by == "quantile" and not 0 <= threshold.at <= 1:
            raise ConfigError(
                f"filter.{name}.by=quantile with filter.{name}.at={threshold.at:g}",
                f"set filter.{name}.at between 0 and 1, or filter.{name}.by=value",
            )


def _check_count(filter: LongestFilter, config: Config) -> None:
    generation, pairing = config.generation, config.pairing
    takes_all = isinstance(pairing, GroupPairing | AnnotatedPairing | CritiquedPairing)
    if isinstance(generation, GivenGeneration) and takes_all:
        return  # prompts come with as many responses as they like
    takes_all |= isinstance(pairing, DemonstrationsPairing)
    samples = generation.samples_per_prompt if takes_all and isinstance(generation, PlainGeneration) else 1
    most = config.run.prompts_per_round * samples
    if filter.count >= most:
        raise ConfigError(
            f"filter.count={filter.count} keeps everything: a round has {most} responses at most",
            "lower filter.count, raise run.prompts_per_round, or choose filter=none",
        )
