"""A recipe's filter in a sentence."""

from typing import assert_never

from ..orchestrator.filter_config import (
    BalancedVerdictsFilter,
    BothOrdersFilter,
    FilterConfig,
    LengthMarginFilter,
    LongestFilter,
    MeanLabelFilter,
    NoFilter,
    RankingAgreementFilter,
    RipFilter,
    ScoreThresholdFilter,
    TopFractionFilter,
)


def kept(filter: FilterConfig) -> str:
    """What of that is learnt from."""
    match filter:
        case NoFilter():
            return "All of it."
        case RipFilter():
            return "Of the round's pairs those whose rejected response is good and long, and near the chosen one (RIP)."
        case ScoreThresholdFilter(min_score=score):
            return f"What scores {score:g} or more."
        case LongestFilter(count=count, unit=unit):
            return f"The {count} longest of the round, in {unit}."
        case TopFractionFilter(fraction=fraction):
            return f"The best {fraction:.0%} of the round, whichever prompts they answer."
        case LengthMarginFilter(max_excess=excess, unit=unit):
            return f"Pairs whose chosen response is at most {excess} {unit} longer than the rejected one."
        case RankingAgreementFilter(max_share=share):
            limit = "" if share is None else f"; one score makes up at most {share:.0%} of them"
            return f"Judgments whose scores order the responses to a prompt as they are ranked{limit}."
        case BalancedVerdictsFilter():
            return "As many right verdicts for the response that is shown first as for the second."
        case BothOrdersFilter():
            return "Right verdicts on two responses that are there in both orders."
        case MeanLabelFilter():
            return "All of it, every label with the round's mean probability."
        case _:
            assert_never(filter)
