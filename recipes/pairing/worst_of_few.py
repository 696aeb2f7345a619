"""The best of all responses over the worst of a few."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal

from ...orchestrator.data.records import Judgment, PairingOutcome, Prompt, Rollout
from ...orchestrator.fields import PositiveInt
from ...orchestrator.parts.pairing import Pair, PairingContext, PairingPart
from ...orchestrator.parts.registry import part
from .candidates import Scored, best_of, drawn, paired, worst_of


@part("pairing")
class WorstOfFewPairing(PairingPart):
    """The best of all responses over the worst of a few drawn by seed: the scalable rule of arXiv 2502.16825."""

    kind: Literal["worst_of_few"]
    few: PositiveInt
    version: ClassVar[int] = 2  # no empty response comes into a pair or a group

    def sentence(self) -> str:
        return f"A prompt's best-scored response over the worst of {self.few} drawn by seed."

    def build(self, context: PairingContext) -> Pair:
        return partial(
            pair_best_of_all_worst_of_few, few=self.few, seed=context.seed, drop_truncated=context.drop_truncated
        )


def pair_best_of_all_worst_of_few(
    prompt: Prompt,
    rollouts: Sequence[Rollout],
    judgments: Sequence[Judgment],
    *,
    few: int,
    seed: int,
    drop_truncated: bool,
) -> PairingOutcome:
    """The best of all responses over the worst of `few` drawn by seed: arXiv 2502.16825's scalable rule, with 5.

    More samples make the chosen response better and leave the rejected one near μ−2σ. The few are drawn from the
    scored responses without replacement (from all of them, the best included: not verified); `few` or fewer responses
    give best against worst.
    """
    if few < 1:
        raise ValueError(f"pair_best_of_all_worst_of_few: few is {few}, and has to be at least 1.")

    def pick(scored: Sequence[Scored]) -> tuple[Scored, Scored]:
        return best_of(scored), worst_of(drawn(prompt, scored, few, seed))

    return paired(prompt, rollouts, judgments, drop_truncated, pick)
