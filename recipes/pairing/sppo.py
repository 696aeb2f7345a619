"""Best over worst, with their win probabilities against the whole group."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar, Literal

from ...orchestrator.data.records import Judgment, PairingOutcome, Prompt, Rollout
from ...orchestrator.parts.pairing import Beside, Pair, PairingContext, PairingPart
from ...orchestrator.parts.registry import part
from .candidates import Scored, best_of, kept, paired, scored_candidates, worst_of


@part("pairing")
class SppoPairing(PairingPart):
    """Best over worst, with their win probabilities against the whole group (SPPO, arXiv 2405.00675;
    objective.probabilities=soft)."""

    kind: Literal["sppo"]
    version: ClassVar[int] = 2  # no empty response comes into a pair or a group
    beside: ClassVar[Beside | None] = "win_probabilities"

    def sentence(self) -> str:
        return "A prompt's best-scored response over its worst, with their win probabilities against all of them."

    def build(self, context: PairingContext) -> Pair:
        return partial(pair_sppo, drop_truncated=context.drop_truncated)


def pair_sppo(
    prompt: Prompt, rollouts: Sequence[Rollout], judgments: Sequence[Judgment], *, drop_truncated: bool
) -> PairingOutcome:
    """The best response over the worst, for SPPO (arXiv 2405.00675), whose targets are their `win_probabilities`.

    A win probability rises with the score, so best and worst by either are the same.
    """

    def pick(scored: Sequence[Scored]) -> tuple[Scored, Scored]:
        return best_of(scored), worst_of(scored)

    outcome = paired(prompt, rollouts, judgments, drop_truncated, pick)
    if outcome.pair is None:
        return outcome
    scores = [one.score for one in scored_candidates(kept(rollouts, drop_truncated), judgments)]
    wins = win_probabilities(scores)
    return replace(outcome, pair=replace(outcome.pair, win_probabilities=(max(wins), min(wins))))


def win_probabilities(scores: Sequence[float]) -> list[float]:
    """P_i = mean_j σ(s_i − s_j), how likely response i beats one of the group: SPPO, arXiv 2405.00675.

    The mean is over the whole group, i itself included (σ(0) = 1/2), as in the official code: P averages 1/2.

    Example:
        >>> [round(probability, 3) for probability in win_probabilities([1.0, 0.0])]
        [0.616, 0.384]
    """
    # σ(x) = (1 + tanh(x/2))/2 overflows nowhere; fsum's result has no order.
    return [
        0.5 + 0.5 * math.fsum(math.tanh(0.5 * (score - other)) for other in scores) / len(scores) for score in scores
    ]
