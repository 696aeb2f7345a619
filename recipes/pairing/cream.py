"""Best over worst, with how far the policy before agrees with the ranking."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import ClassVar, Literal

from ...orchestrator.data.records import Judgment, PairingOutcome, Prompt, Rollout
from ...orchestrator.parts.pairing import Beside, Pair, PairingContext, PairingPart
from ...orchestrator.parts.registry import part
from .candidates import Scored, best_of, kept, paired, scored_candidates, worst_of


@part("pairing")
class CreamPairing(PairingPart):
    """Best over worst by the policy, with the share of response pairs that the policy before puts in the same order as
    the label's probability (CREAM, arXiv 2410.12735). For objective=cream.

    For a judge of two voters. Each prompt has its own probability, of which filter=mean_label_probability makes the
    round's mean.
    """

    kind: Literal["cream"]
    version: ClassVar[int] = 2  # no empty response comes into a pair or a group
    by_voter: ClassVar[bool] = True
    beside: ClassVar[Beside | None] = "consistency"

    def sentence(self) -> str:
        return (
            "A prompt's best-scored response over its worst, with how far the policy before agrees with the "
            "ranking as the label's probability."
        )

    def build(self, context: PairingContext) -> Pair:
        return partial(pair_cream, drop_truncated=context.drop_truncated)


def pair_cream(
    prompt: Prompt, rollouts: Sequence[Rollout], judgments: Sequence[Judgment], *, drop_truncated: bool
) -> PairingOutcome:
    """The sampling policy's best response over its worst; the pair's label probability is its consistency c with the
    policy before: CREAM, arXiv 2410.12735.

    Vote 0 of the judgments is the sampling policy's, vote 1 the one's before it. c is of this prompt's own responses
    (the authors' code assigns another prompt's once one is skipped). Below a half it turns the label round.
    """
    now = [judgment for judgment in judgments if judgment.vote == 0]
    before = [judgment for judgment in judgments if judgment.vote == 1]

    def pick(scored: Sequence[Scored]) -> tuple[Scored, Scored]:
        return best_of(scored), worst_of(scored)

    outcome = paired(prompt, rollouts, now, drop_truncated, pick)
    if outcome.pair is None:
        return outcome
    candidates = kept(rollouts, drop_truncated)
    ranked = [[one.score for one in scored_candidates(candidates, votes)] for votes in (now, before)]
    return replace(outcome, pair=replace(outcome.pair, label_probability=kendall_consistency(*ranked)))


def kendall_consistency(rewards_now: Sequence[float], rewards_before: Sequence[float]) -> float:
    """CREAM's c of one prompt: Kendall's τ mapped to (τ+1)/2, the share of response pairs that both policies put in the
    same order. Rewards or ranks of the same responses, in the same order, do equally well.

    A pair tied in either ranking counts half (τ-a), so all-equal rewards give ½. The authors' code breaks ties by
    position instead, which makes two ties agree.

    Example:
        >>> kendall_consistency([1.0, 2.0, 3.0], [1.0, 3.0, 2.0])
        0.6666666666666666
    """
    if len(rewards_now) != len(rewards_before) or len(rewards_now) < 2:
        raise ValueError(
            f"kendall_consistency: {len(rewards_now)} and {len(rewards_before)} rewards. Both policies have to rank the"
            " same responses, two or more."
        )
    pairs = list(combinations(range(len(rewards_now)), 2))
    score = sum(_order(rewards_now[i], rewards_now[j]) * _order(rewards_before[i], rewards_before[j]) for i, j in pairs)
    return (score / len(pairs) + 1) / 2


def _order(first: float, second: float) -> int:
    return (first > second) - (first < second)
