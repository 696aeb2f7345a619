"""Preference pairs as the learner takes them."""

from collections.abc import Sequence

from .records import PairingOutcome, PreferencePair, TrainingPair


def training_pairs(
    outcomes: Sequence[PairingOutcome], *, first: int, num_prompts: int, epoch: int, epochs: int, rollout_logps: bool
) -> list[TrainingPair]:
    """The pairs of a shard's outcomes.

    Args:
        first: position of the shard's first prompt in the round.
        num_prompts: prompts of the round; with `epoch` and `epochs` it gives each pair's progress.
        rollout_logps: whether the sampler's log-probs are the reference's.

    Example: the third of four prompts in the second of two epochs has progress (1 + 2/4) / 2 = 0.75.
    """
    return [
        TrainingPair(
            id=outcome.pair.prompt.id,
            prompt_token_ids=outcome.pair.chosen.prompt_token_ids,
            chosen_token_ids=outcome.pair.chosen.token_ids,
            rejected_token_ids=outcome.pair.rejected.token_ids,
            reference_logps=_sampler_logps(outcome.pair) if rollout_logps else None,
            progress=(epoch + (first + offset) / num_prompts) / epochs,
        )
        for offset, outcome in enumerate(outcomes)
        if outcome.pair is not None
    ]


def _sampler_logps(pair: PreferencePair) -> tuple[float, float]:
    return sum(pair.chosen.logprobs), sum(pair.rejected.logprobs)
