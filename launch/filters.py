"""A phase's filter: which of the recipes' rules stands for which configuration."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from ..orchestrator.config import Config
from ..orchestrator.filter_config import (
    BalancedVerdictsFilter,
    BothOrdersFilter,
    LengthMarginFilter,
    LongestFilter,
    MeanLabelFilter,
    NoFilter,
    RankingAgreementFilter,
    RipFilter,
    ScoreThresholdFilter,
    TopFractionFilter,
    WholeRoundFilter,
)
from ..orchestrator.filtering import Filter
from ..orchestrator.judge_config import JudgeConfig
from ..orchestrator.records import Judgment, PairingOutcome
from ..orchestrator.seeds import derive_seed
from ..recipes.filters.judgments import filter_balanced_verdicts, filter_both_orders, filter_ranking_agreement
from ..recipes.filters.length_margin import filter_length_margin
from ..recipes.filters.longest import filter_longest
from ..recipes.filters.mean_label import filter_mean_label
from ..recipes.filters.measured import measure
from ..recipes.filters.rip import filter_rip
from ..recipes.filters.score_threshold import filter_score_threshold
from ..recipes.filters.top_fraction import filter_top_fraction
from ..recipes.judges.conclusions import conclusions


def round_filter(config: Config) -> Filter | None:
    """What keeps or drops what pairing made, with the configuration bound; None where all of it is learnt from."""
    seed = derive_seed(config.run.seed, "filter")
    match config.filter:
        case NoFilter():
            return None
        case RipFilter() as rip:
            decide = partial(filter_rip, config=rip)
        case ScoreThresholdFilter(min_score=min_score):
            decide = partial(filter_score_threshold, min_score=min_score)
        case LongestFilter(count=count, unit=unit):
            decide = partial(filter_longest, count=count, unit=unit)
        case TopFractionFilter(fraction=fraction):
            decide = partial(filter_top_fraction, fraction=fraction)
        case LengthMarginFilter(max_excess=max_excess, unit=unit):
            decide = partial(filter_length_margin, max_excess=max_excess, unit=unit)
        case RankingAgreementFilter(max_share=max_share):
            decide = partial(filter_ranking_agreement, max_share=max_share, seed=seed)
        case BalancedVerdictsFilter():
            decide = partial(filter_balanced_verdicts, seed=seed)
        case BothOrdersFilter():
            decide = filter_both_orders
        case MeanLabelFilter():
            decide = filter_mean_label
    return Filter(
        whole_round=isinstance(config.filter, WholeRoundFilter),
        measure=partial(_measure, judge=config.judge),
        decide=decide,
    )


def _measure(outcomes: Sequence[PairingOutcome], judgments: Sequence[Judgment], *, judge: JudgeConfig) -> np.ndarray:
    """By the scores that pairing went by."""
    return measure(outcomes, conclusions(judgments, judge=judge))
