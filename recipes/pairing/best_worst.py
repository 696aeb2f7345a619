"""The best-scored response over the worst."""

from collections.abc import Sequence

from ...orchestrator.records import Judgment, PairingOutcome, Prompt, Rollout
from .candidates import Scored, best_of, paired, worst_of


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
