"""The schema of the `filter` group: which of a round's pairs, or responses, are learnt from."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field
from pydantic.dataclasses import dataclass

from .config_types import STRICT, NonNegativeInt, PositiveInt

Unit: TypeAlias = Literal["tokens", "chars"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class NoFilter:
    """Everything that pairing made is learnt from."""

    kind: Literal["none"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class Threshold:
    """A number, or a quantile of the round's."""

    by: Literal["quantile", "value"]
    at: Annotated[float, Field(allow_inf_nan=False)]  # 0 to 1 for a quantile


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class RipFilter:
    """RIP (arXiv 2501.18578): pairs whose rejected response is good and long, and whose margin is small."""

    kind: Literal["rip"]
    rejected_score: Threshold  # at least
    rejected_length: Threshold  # at least
    margin: Threshold  # at most
    unit: Unit  # of lengths


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ScoreThresholdFilter:
    """Responses with a score of `min_score` or more: AlpaGasus's rule (arXiv 2307.08701)."""

    kind: Literal["score_threshold"]
    min_score: Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class LongestFilter:
    """The round's `count` longest responses: Long-is-more's rule (arXiv 2402.04833)."""

    kind: Literal["longest"]
    count: PositiveInt
    unit: Unit


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class TopFractionFilter:
    """The best-scored share of the round's responses: RAFT's global ranking (arXiv 2304.06767)."""

    kind: Literal["top_fraction"]
    fraction: Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class LengthMarginFilter:
    """Pairs whose chosen response is at most `max_excess` longer than the rejected one."""

    kind: Literal["length_margin"]
    max_excess: NonNegativeInt
    unit: Unit


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class MeanLabelFilter:
    """All pairs, each with the round's mean label probability as its own (CREAM's consistency, arXiv 2410.12735)."""

    kind: Literal["mean_label_probability"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class RankingAgreementFilter:
    """Scores by the additive rubric that order the responses to a prompt as they are ranked (EFT of Self-Rewarding,
    arXiv 2401.10020)."""

    kind: Literal["ranking_agreement"]
    max_share: Annotated[float, Field(gt=0, le=1)] | None  # of what agrees, with one and the same score; null: no limit


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class BalancedVerdictsFilter:
    """As many right verdicts for the response that is shown first as for the second (Self-Taught Evaluator,
    arXiv 2408.02666)."""

    kind: Literal["balanced_verdicts"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class BothOrdersFilter:
    """Right verdicts on two responses that are there in both orders (as PandaLM's labels, arXiv 2306.05087)."""

    kind: Literal["both_orders"]


# What keeps or drops a single response: of a group the others stay.
ResponseFilter: TypeAlias = ScoreThresholdFilter | LongestFilter | TopFractionFilter | RankingAgreementFilter
# What compares verdicts on two responses with each other.
VerdictFilter: TypeAlias = BalancedVerdictsFilter | BothOrdersFilter
# What decides on all of the round at once, so that learning waits for its last shard.
WholeRoundFilter: TypeAlias = (
    RipFilter | LongestFilter | TopFractionFilter | MeanLabelFilter | RankingAgreementFilter | VerdictFilter
)
# What asks for scores.
ScoredFilter: TypeAlias = RipFilter | ScoreThresholdFilter | TopFractionFilter
FilterConfig: TypeAlias = Annotated[
    NoFilter | RipFilter | ResponseFilter | LengthMarginFilter | MeanLabelFilter | VerdictFilter,
    Field(discriminator="kind"),
]
