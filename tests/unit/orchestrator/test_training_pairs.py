"""Preference pairs as the learner takes them: which tokens, which reference, how far the round has gone."""

from collections.abc import Sequence

import pytest

from roundelay.orchestrator.records import (
    Dropped,
    Message,
    PairingOutcome,
    PreferencePair,
    Prompt,
    Rollout,
    TrainingPair,
)
from roundelay.orchestrator.training_pairs import training_pairs


def rollout(prompt_id: str, token_ids: tuple[int, ...], logprobs: tuple[float, ...]) -> Rollout:
    return Rollout(
        prompt_id=prompt_id,
        sample=0,
        variant="positive",
        prompt_token_ids=(10, 11),
        sampler_token_ids=(90, 10, 11),
        token_ids=token_ids,
        logprobs=logprobs,
        text="",
        finish_reason="stop",
        policy_version=0,
        seed=0,
    )


def made(prompt_id: str) -> PairingOutcome:
    pair = PreferencePair(
        prompt=Prompt(id=prompt_id, messages=(Message(role="user", content="Hi"),)),
        chosen=rollout(prompt_id, (20, 21, 2), (-0.5, -0.25, -1.0)),
        rejected=rollout(prompt_id, (30, 2), (-2.0, -0.125)),
        margin=1.0,
        label_probability=1.0,
        provenance="judge",
    )
    return PairingOutcome(pair=pair, dropped=None)


def lost(prompt_id: str) -> PairingOutcome:
    return PairingOutcome(pair=None, dropped=Dropped(prompt_id=prompt_id, reason="tie"))


def taken(
    outcomes: Sequence[PairingOutcome], *, first: int = 0, num_prompts: int = 4, epoch: int = 0, epochs: int = 1
) -> list[TrainingPair]:
    return training_pairs(
        outcomes, first=first, num_prompts=num_prompts, epoch=epoch, epochs=epochs, rollout_logps=False
    )


def test_a_pair_is_trained_under_the_original_prompt_and_not_under_the_affixed_one() -> None:
    assert taken([made("a")]) == [
        TrainingPair(
            id="a",
            prompt_token_ids=(10, 11),
            chosen_token_ids=(20, 21, 2),
            rejected_token_ids=(30, 2),
            reference_logps=None,
            progress=0.0,
        )
    ]


def test_reference_logps_from_rollouts_are_the_samplers_summed_per_response() -> None:
    """−0.5 − 0.25 − 1 = −1.75 for the chosen response and −2 − 0.125 = −2.125 for the rejected one."""
    (pair,) = training_pairs([made("a")], first=0, num_prompts=1, epoch=0, epochs=1, rollout_logps=True)
    assert pair.reference_logps == (-1.75, -2.125)


def test_dropped_prompts_give_no_pair_and_keep_their_share_of_the_progress() -> None:
    """Prompts 0–3 of four: those at 1 and 3 remain, at 1/4 and 3/4 of the round."""
    pairs = taken([lost("a"), made("b"), lost("c"), made("d")])
    assert [(pair.id, pair.progress) for pair in pairs] == [("b", 0.25), ("d", 0.75)]


def test_progress_counts_the_shards_before_and_the_epochs_before() -> None:
    """The third of four prompts in the second of two epochs: (1 + 2/4)/2 = 0.75."""
    (pair,) = taken([made("c")], first=2, epoch=1, epochs=2)
    assert pair.progress == 0.75


@pytest.mark.parametrize("epochs", [1, 3])
def test_progress_rises_evenly_from_0_over_all_epochs_and_stays_below_1(epochs: int) -> None:
    """Two shards of two prompts: the k-th of all 4·epochs pairs has progress k/(4·epochs)."""
    progress = [
        pair.progress
        for epoch in range(epochs)
        for first in (0, 2)
        for pair in taken([made("a"), made("b")], first=first, epoch=epoch, epochs=epochs)
    ]
    assert progress == pytest.approx([k / (4 * epochs) for k in range(4 * epochs)])
    assert max(progress) < 1
