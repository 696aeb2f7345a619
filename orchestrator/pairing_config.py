"""The schema of the `pairing` group: what objectives learn from is made of scored responses by one of these rules."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field
from pydantic.dataclasses import dataclass

from .config_types import STRICT, Fraction, NonNegativeFloat, PositiveInt
from .user_functions import FunctionName


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class BestWorstPairing:
    """The best-scored response against the worst; ties, identical texts and unscored candidates give no pair."""

    kind: Literal["best_worst"]
    min_margin: NonNegativeFloat  # scores; a margin at or under it is a tie


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ContrastPairing:
    """The positive variant over the negative one, by construction. `shuffle_labels` is the control experiment."""

    kind: Literal["contrast"]
    shuffle_labels: bool


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class SoftPairing:
    """Two responses with the judge's probability that the chosen one is better; an even one gives no pair."""

    kind: Literal["soft"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ConsistentPairing:
    """Two responses of which the judge prefers the same one both ways round; else there is no pair."""

    kind: Literal["consistent"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class CritiquedPairing:
    """Every response with the judgment in words on it, for CUT (arXiv 2312.14591)."""

    kind: Literal["critiqued"]
    good_score: float  # from here on a response is good, and imitated as it is
    keep_good: Fraction  # share of the good ones that is kept, drawn by seed


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class GroupPairing:
    """All scored responses to a prompt, best first: for objectives on ranked lists, and for policy gradients."""

    kind: Literal["group"]
    min_responses: PositiveInt  # a prompt with fewer scored responses is dropped
    ties: Literal["keep", "drop"]  # whether a group whose scores are all equal is kept; it ranks nothing


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class DemonstrationsPairing:
    """Responses to imitate, without any to compare them with: of given ones the best, of sampled ones all."""

    kind: Literal["demonstrations"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class FunctionPairing:
    """A Python function of yours takes the pair: `(prompt, rollouts, scores) -> (chosen, rejected)`, two of the
    rollouts, or the reason to drop the prompt. `scores` are the mean votes by sample; it is called on the driver."""

    kind: Literal["function"]
    function: FunctionName


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class AgreementPairing:
    """Responses that the validator agrees with, each with the validation itself (as GV-consistency,
    arXiv 2310.01846)."""

    kind: Literal["agreement"]


# Points of the distribution of a prompt's scores, from the lowest to the highest.
Anchor: TypeAlias = Literal["min", "mu-2sigma", "mu-sigma", "mu", "mu+sigma", "mu+2sigma", "max"]
Choice: TypeAlias = Literal["random", "max_random", "max_min", "max_max", "max_min_p"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class SweetSpotPairing:
    """The responses nearest to two points of the prompt's score distribution (arXiv 2502.16825)."""

    kind: Literal["sweet_spot"]
    chosen_at: Anchor
    rejected_at: Anchor  # a lower one


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class WorstOfFewPairing:
    """The best of all responses over the worst of a few drawn by seed: the scalable rule of arXiv 2502.16825."""

    kind: Literal["worst_of_few"]
    few: PositiveInt


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class LengthControlledPairing:
    """The shortest good response over the longest bad one: Meta-Rewarding's length control (arXiv 2407.19594)."""

    kind: Literal["length_controlled"]
    rho: Annotated[float, Field(ge=0, le=0.5)]  # share of the score range that counts as good, and as bad
    max_chosen_chars: PositiveInt | None


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class WpoTiesPairing:
    """Best over worst, ties broken by length (WPO's later data)."""

    kind: Literal["wpo_ties"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ByChoicePairing:
    """Two responses by RLHFlow's `choose_type` (arXiv 2405.07863)."""

    kind: Literal["by_choice"]
    choice: Choice
    length_penalty: NonNegativeFloat  # of max_min_p: scores a character


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class SppoPairing:
    """Best over worst, with their win probabilities against the whole group (SPPO, arXiv 2405.00675)."""

    kind: Literal["sppo"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class CreamPairing:
    """Best over worst, with how far the policy before agrees with the ranking as the label's probability (CREAM,
    arXiv 2410.12735). For a judge of two voters, and objective=cream."""

    kind: Literal["cream"]


RankedChoice: TypeAlias = Literal["best_worst", "adjacent", "all"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class RankedPairing:
    """Responses that are ranked by construction or by a data set: the best over the worst, a rank drawn by seed over
    the next one, or all of them, best first, with minus their ranks as scores."""

    kind: Literal["ranked"]
    take: RankedChoice


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class AnchoredPairing:
    """The policy's best over the worst of its own and the initial policy's (Temporal SR, arXiv 2508.06026)."""

    kind: Literal["anchored"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class FutureGuidedPairing:
    """The pair of the round before, its chosen response replaced by a better one (Temporal SR, arXiv 2508.06026)."""

    kind: Literal["future_guided"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class WithSourcePairing:
    """The policy's best over its worst, with the best of another model beside them (WRPO, arXiv 2412.03187)."""

    kind: Literal["with_source"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class RightPairing:
    """A judgment that is right, to imitate (Self-Taught Evaluator, arXiv 2408.02666)."""

    kind: Literal["right"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class RightOverWrongPairing:
    """A right judgment over one that is wrong, a tie, or cannot be read (Self-Taught Evaluator, arXiv 2408.02666)."""

    kind: Literal["right_over_wrong"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class AnnotatedPairing:
    """Every response with the values of its attributes, for conditioning=attributes (SteerLM, arXiv 2310.05344)."""

    kind: Literal["annotated"]


# What takes a pair out of several scored responses.
ScoredPairing: TypeAlias = (
    BestWorstPairing | SweetSpotPairing | WorstOfFewPairing | LengthControlledPairing | WpoTiesPairing
    | ByChoicePairing | SppoPairing | CreamPairing | AnchoredPairing | FutureGuidedPairing
    | WithSourcePairing
)  # fmt: skip
PairingConfig: TypeAlias = Annotated[
    ScoredPairing
    | AgreementPairing
    | AnnotatedPairing
    | ConsistentPairing
    | ContrastPairing
    | CritiquedPairing
    | DemonstrationsPairing
    | FunctionPairing
    | GroupPairing
    | RankedPairing
    | RightPairing
    | RightOverWrongPairing
    | SoftPairing,
    Field(discriminator="kind"),
]


def gives_groups(pairing: PairingConfig) -> bool:
    """Whether a rule gives lists of responses, not pairs."""
    return isinstance(pairing, GroupPairing | AnnotatedPairing) or (
        isinstance(pairing, RankedPairing) and pairing.take == "all"
    )


def gives_pairs(pairing: PairingConfig) -> bool:
    """Whether a rule gives pairs: neither lists of responses, nor responses to imitate, nor critiqued ones."""
    imitated = isinstance(pairing, AgreementPairing | CritiquedPairing | DemonstrationsPairing | RightPairing)
    return not imitated and not gives_groups(pairing)
