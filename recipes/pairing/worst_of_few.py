"""The best of all responses over the worst of a few."""

from collections.abc import Sequence

from ...orchestrator.records import Judgment, PairingOutcome, Prompt, Rollout
from .candidates import Scored, best_of, drawn, paired, worst_of


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
