"""The best-scored response over the worst."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal

from ...orchestrator.data.records import Judgment, PairingOutcome, Prompt, Rollout
from ...orchestrator.fields import NonNegativeFloat
from ...orchestrator.parts.pairing import Pair, PairingContext, PairingPart
from ...orchestrator.parts.registry import part
from .candidates import Scored, best_of, paired, worst_of


@part("pairing")
class BestWorstPairing(PairingPart):
    """The best-scored response over the worst (Self-Rewarding, arXiv 2401.10020); ties, identical texts and unscored
    candidates give no pair."""

    kind: Literal["best_worst"]
    min_margin: NonNegativeFloat  # scores; a margin at or under it is a tie
    version: ClassVar[int] = 2  # no empty response comes into a pair or a group

    def sentence(self) -> str:
        apart = f" by more than {self.min_margin:g}" if self.min_margin else ""
        return f"A prompt's best-scored response over its worst, where it is better{apart}."

    def build(self, context: PairingContext) -> Pair:
        return partial(pair_best_worst, min_margin=self.min_margin, drop_truncated=context.drop_truncated)


def pair_best_worst(
    prompt: Prompt,
    rollouts: Sequence[Rollout],
    judgments: Sequence[Judgment],
    *,
    min_margin: float,
    drop_truncated: bool,
) -> PairingOutcome:
    """The best-scored response over the worst: Self-Rewarding LMs, arXiv 2401.10020, section 2.3.

    A response's score is the mean of its parsed votes. Among equally scored responses the first sampled stands for all.
    Drop reasons, in this order: `truncated`, `empty` and `unscored` (fewer than two candidates are left), `tie` (best
    and worst are at most `min_margin` apart), `identical` (their texts are equal).
    """

    def pick(scored: Sequence[Scored]) -> tuple[Scored, Scored]:
        return best_of(scored), worst_of(scored)

    return paired(prompt, rollouts, judgments, drop_truncated, pick, min_margin)
