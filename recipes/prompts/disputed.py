"""The response whose judgments differ most: what there is to learn about judging a prompt's responses."""

from collections.abc import Sequence
from statistics import pvariance

from ...orchestrator.data.records import Judgment, Rollout
from ...orchestrator.data.seeds import derive_seed


def most_disputed(rollouts: Sequence[Rollout], judgments: Sequence[Judgment], *, seed: int) -> Rollout | None:
    """Of one prompt's responses the one whose parsed scores have the highest variance, drawn by `seed` among equals:
    Meta-Rewarding, arXiv 2407.19594. None where no response has two parsed scores.

    Scores are small whole numbers: their variances are compared after rounding to nine decimals.
    """
    scores: dict[int, list[float]] = {}
    for judgment in judgments:
        if judgment.score is not None:
            scores.setdefault(judgment.sample, []).append(judgment.score)
    variances = {
        rollout.sample: round(pvariance(scores[rollout.sample]), 9)
        for rollout in rollouts
        if not rollout.interim and len(scores.get(rollout.sample, ())) > 1
    }
    if not variances:
        return None
    highest = max(variances.values())
    return min(
        (rollout for rollout in rollouts if variances.get(rollout.sample) == highest),
        key=lambda rollout: derive_seed(seed, "disputed", rollout.prompt_id, rollout.sample),
    )
