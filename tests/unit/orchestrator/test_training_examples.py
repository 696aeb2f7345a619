"""Examples as the learner takes them: which tokens, which log-probs, how far the round has gone."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
from support.configs import CUT, GRPO, PPO, REWARD_MODEL, RLOO

from roundelay.orchestrator.data.records import (
    Dropped,
    FinishReason,
    Message,
    PairingOutcome,
    PreferencePair,
    Prompt,
    ResponseGroup,
    Rollout,
    TokenSequence,
    TrainingExample,
)
from roundelay.orchestrator.parts.objective import ObjectivePart, ReferenceConfig
from roundelay.orchestrator.round.examples import training_examples
from roundelay.recipes.objectives.dpo import DpoObjective
from roundelay.recipes.objectives.kto import KtoObjective
from roundelay.recipes.objectives.pro import ProObjective
from roundelay.recipes.objectives.rrhf import RrhfObjective
from roundelay.recipes.objectives.sft import SftObjective
from roundelay.recipes.objectives.sppo import SppoObjective
from roundelay.recipes.objectives.wrpo import WrpoObjective

PREVIOUS = ReferenceConfig(policy="previous", logps="recompute")
DPO = DpoObjective(kind="dpo", beta=0.1, reference=PREVIOUS)
KTO = KtoObjective(kind="kto", beta=0.1, desirable_weight=1.0, undesirable_weight=1.0, reference=PREVIOUS)
SFT = SftObjective(kind="sft")
WRPO = WrpoObjective(kind="wrpo", beta=0.01, final_alpha=0.1, reference=PREVIOUS)
RRHF = RrhfObjective(kind="rrhf", length_exponent=1.0, weight=1.0)
PRO = ProObjective(kind="pro", sft_weight=0.05)


def rollout(
    prompt_id: str,
    token_ids: tuple[int, ...],
    logprobs: tuple[float, ...],
    prompt_token_ids: tuple[int, ...] = (10, 11),
    finish_reason: FinishReason = "stop",
) -> Rollout:
    return Rollout(
        prompt_id=prompt_id,
        sample=0,
        variant="positive",
        prompt_token_ids=prompt_token_ids,
        sampler_token_ids=(90, *prompt_token_ids),
        token_ids=token_ids,
        logprobs=logprobs,
        text="Hello",
        finish_reason=finish_reason,
        policy_version=0,
        seed=0,
    )


def made(
    prompt_id: str,
    *,
    margin: float | None = 1.0,
    label_probability: float = 1.0,
    prompt: tuple[int, ...] = (10, 11),
    chosen: tuple[int, ...] = (20, 21, 2),
    rejected: tuple[int, ...] = (30, 2),
) -> PairingOutcome:
    """A pair whose tokens have the log-probs −1/2, −1/4, … in the chosen response and −2, −1, … in the rejected one."""
    pair = PreferencePair(
        prompt=Prompt(id=prompt_id, messages=(Message(role="user", content="Hi"),)),
        chosen=rollout(prompt_id, chosen, tuple(-(0.5 ** (i + 1)) for i in range(len(chosen))), prompt),
        rejected=rollout(prompt_id, rejected, tuple(-(0.5 ** (i - 1)) for i in range(len(rejected))), prompt),
        margin=margin,
        label_probability=label_probability,
        provenance="judge",
    )
    return PairingOutcome(pair=pair, dropped=None)


def grouped(prompt_id: str, *responses: tuple[float, int, FinishReason]) -> PairingOutcome:
    """A group of responses, best first, by score, last token and finish reason."""
    group = ResponseGroup(
        prompt=Prompt(id=prompt_id, messages=(Message(role="user", content="Hi"),)),
        responses=tuple(rollout(prompt_id, (20, token), (-0.5, -0.25), (10, 11), end) for _, token, end in responses),
        scores=tuple(score for score, _, _ in responses),
    )
    return PairingOutcome(pair=None, dropped=None, group=group)


def lost(prompt_id: str) -> PairingOutcome:
    return PairingOutcome(pair=None, dropped=Dropped(prompt_id=prompt_id, reason="tie"))


def taken(
    outcomes: Sequence[PairingOutcome],
    objective: ObjectivePart = DPO,
    *,
    first: int = 0,
    num_prompts: int = 4,
    epoch: int = 0,
    epochs: int = 1,
) -> list[TrainingExample]:
    return training_examples(outcomes, objective, first=first, num_prompts=num_prompts, epoch=epoch, epochs=epochs)


CHOSEN = TokenSequence(prompt_token_ids=(10, 11), token_ids=(20, 21, 2), sampler_logps=(-0.5, -0.25, -0.125))
REJECTED = TokenSequence(prompt_token_ids=(10, 11), token_ids=(30, 2), sampler_logps=(-2.0, -1.0))


def test_a_pair_is_trained_under_the_original_prompt_and_not_under_the_affixed_one() -> None:
    """With the sampler's log-probs of every token, for references that are taken from them."""
    assert taken([made("a")]) == [
        TrainingExample(id="a", sequences=(CHOSEN, REJECTED), scores=(1.0, 0.0), label_probability=1.0, progress=0.0)
    ]


def test_win_probabilities_go_in_the_place_of_scores() -> None:
    """Of chosen and rejected against the whole group, where pairing knows them: what SPPO is computed from."""
    judged = made("a", margin=2.5).pair
    assert judged is not None
    pair = dataclasses.replace(judged, win_probabilities=(0.75, 0.0))
    objective = SppoObjective(kind="sppo", beta=0.001, probabilities="soft", reference=PREVIOUS)
    (example,) = taken([PairingOutcome(pair=pair, dropped=None)], objective)
    assert (example.sequences, example.scores, example.label_probability) == ((CHOSEN, REJECTED), (0.75, 0.0), 1.0)


def test_a_pairs_margin_and_label_probability_go_with_it() -> None:
    """The margin is the chosen response's score above the rejected one's; pairs that nobody scored have no scores."""
    (judged,) = taken([made("a", margin=1.5, label_probability=0.75)])
    assert (judged.scores, judged.label_probability) == ((1.5, 0.0), 0.75)
    (contrast,) = taken([made("a", margin=None)])
    assert (contrast.scores, contrast.label_probability) == ((), 1.0)
    (soft,) = taken([made("a", margin=None, label_probability=0.8)], REWARD_MODEL)
    assert (soft.sequences, soft.scores, soft.label_probability) == ((CHOSEN, REJECTED), (), 0.8)


# ---------------------------------------------------------------------------------------------------------- KTO and SFT

THREE = [
    made("a"),
    made("b", prompt=(12,), chosen=(40, 2), rejected=(41, 42, 2)),
    lost("c"),
    made("d", prompt=(13, 14, 15), chosen=(50, 51, 52, 2), rejected=(53, 2)),
]


def test_kto_labels_both_responses_of_a_pair_at_the_pairs_own_progress() -> None:
    """Chosen is desirable, rejected undesirable; both under their prompt, with ids of their own."""
    examples = taken(THREE, KTO)
    assert [(example.id, example.desirable, example.progress) for example in examples] == [
        ("a/chosen", True, 0.0),
        ("a/rejected", False, 0.0),
        ("b/chosen", True, 0.25),
        ("b/rejected", False, 0.25),
        ("d/chosen", True, 0.75),
        ("d/rejected", False, 0.75),
    ]
    assert [example.sequences[0] for example in examples[:2]] == [CHOSEN, REJECTED]
    assert [example.sequences[0].token_ids for example in examples[2:]] == [
        (40, 2),
        (41, 42, 2),
        (50, 51, 52, 2),
        (53, 2),
    ]


def test_kto_measures_its_kl_on_another_prompts_response_of_the_same_label() -> None:
    """The pair before it in the shard (the first takes the last), a dropped prompt not counted: a prompt with its own
    response would measure the reward instead. The sampler has no log-probs of such a sequence."""
    mismatched = [example.sequences[1] for example in taken(THREE, KTO)]
    assert mismatched == [
        TokenSequence(prompt_token_ids=(10, 11), token_ids=(50, 51, 52, 2)),
        TokenSequence(prompt_token_ids=(10, 11), token_ids=(53, 2)),
        TokenSequence(prompt_token_ids=(12,), token_ids=(20, 21, 2)),
        TokenSequence(prompt_token_ids=(12,), token_ids=(30, 2)),
        TokenSequence(prompt_token_ids=(13, 14, 15), token_ids=(40, 2)),
        TokenSequence(prompt_token_ids=(13, 14, 15), token_ids=(41, 42, 2)),
    ]


def test_the_only_pair_of_a_shard_is_learnt_by_kto_without_measuring_the_kl() -> None:
    """It has no other prompt's response, and is not skipped for that."""
    alone = taken([lost("a"), made("b"), lost("c")], KTO)
    assert [(example.id, len(example.sequences)) for example in alone] == [("b/chosen", 1), ("b/rejected", 1)]
    assert [len(example.sequences) for example in taken([lost("a"), made("b"), made("c")], KTO)] == [2, 2, 2, 2]


def test_sft_takes_the_chosen_responses_alone() -> None:
    assert taken([lost("x"), made("a"), made("b")], SFT) == [
        TrainingExample(id="a", sequences=(CHOSEN,), progress=0.25),
        TrainingExample(id="b", sequences=(CHOSEN,), progress=0.5),
    ]


@pytest.mark.parametrize("objective", [DPO, KTO, SFT, RRHF, PPO, REWARD_MODEL], ids=lambda objective: objective.kind)
def test_a_shard_without_pairs_gives_no_examples(objective: ObjectivePart) -> None:
    assert taken([], objective) == taken([lost("a"), lost("b")], objective) == []


# --------------------------------------------------------------------------------------------------------------- groups


def response(last: int) -> TokenSequence:
    return TokenSequence(prompt_token_ids=(10, 11), token_ids=(20, last), sampler_logps=(-0.5, -0.25))


GROUPS = [
    grouped("a", (2.5, 1, "stop"), (0.5, 2, "length"), (-1.0, 3, "stop")),
    lost("b"),
    grouped("c", (4.0, 4, "length")),
]


@pytest.mark.parametrize("objective", [RRHF, PRO, PPO, GRPO, RLOO], ids=lambda objective: objective.kind)
def test_a_group_is_one_example_of_all_its_responses_with_their_scores(objective: ObjectivePart) -> None:
    """Best first, under the prompt as it is, at the prompt's own progress; a response cut by the token limit has the
    score that it was given, unless the objective says otherwise."""
    assert taken(GROUPS, objective) == [
        TrainingExample(
            id="a", sequences=(response(1), response(2), response(3)), scores=(2.5, 0.5, -1.0), progress=0.0
        ),
        TrainingExample(id="c", sequences=(response(4),), scores=(4.0,), progress=0.5),
    ]


@pytest.mark.parametrize(
    ("changes", "scores"),
    [
        ({"missing_eos_penalty": 1.5}, [(2.5, 0.5 - 1.5, -1.0), (4.0 - 1.5,)]),
        ({"missing_eos_reward": -1.0}, [(2.5, -1.0, -1.0), (-1.0,)]),
        ({"missing_eos_reward": 0.0}, [(2.5, 0.0, -1.0), (0.0,)]),
        ({"missing_eos_reward": 9.0}, [(2.5, 9.0, -1.0), (9.0,)]),
    ],
    ids=str,
)
@pytest.mark.parametrize("objective", [PPO, GRPO, RLOO], ids=lambda objective: objective.kind)
def test_a_policy_gradient_scores_a_response_without_an_end_its_own_way(
    objective: Any, changes: dict[str, float], scores: list[tuple[float, ...]]
) -> None:
    """Lowered by a penalty (TRL), or replaced (AlpacaFarm; also by 0, which is a reward like any other). The responses
    that ended keep theirs, whatever they are, and all keep their places: the order says nothing to a gradient."""
    examples = taken(GROUPS, dataclasses.replace(objective, **changes))
    assert [example.scores for example in examples] == scores
    assert examples[0].sequences == (response(1), response(2), response(3))


@pytest.mark.parametrize(
    ("changes", "scores"),
    [
        ({"missing_eos_reward": -1.0}, (2.5, -1.0, -1.0, -1.0)),
        ({"missing_eos_penalty": 1.5}, (2.5, 2.0, 1.0, 0.5 - 1.5)),
        ({}, (2.5, 2.0, 1.0, 0.5)),
    ],
    ids=str,
)
@pytest.mark.parametrize("objective", [PPO, GRPO, RLOO], ids=lambda objective: objective.kind)
def test_a_response_that_ended_but_says_nothing_is_replaced_with_those_that_did_not_end(
    objective: Any, changes: dict[str, float], scores: tuple[float, ...]
) -> None:
    """RLCD's −1 is for a response that is absent or empty. Text, no text, blanks alone, text that was cut, in this
    order: a penalty, which is TRL's, is for what was cut alone."""
    outcome = grouped("a", (2.5, 1, "stop"), (2.0, 2, "stop"), (1.0, 3, "stop"), (0.5, 4, "length"))
    assert outcome.group is not None
    texts = ("Hello", "", " \n", "Hello and")
    responses = tuple(
        dataclasses.replace(one, text=text) for one, text in zip(outcome.group.responses, texts, strict=True)
    )
    outcome = dataclasses.replace(outcome, group=dataclasses.replace(outcome.group, responses=responses))
    (example,) = taken([outcome], dataclasses.replace(objective, **changes))
    assert example.scores == scores


def test_cut_takes_every_response_and_the_same_response_after_its_judgment() -> None:
    """Of responses 1 and 3 to the first prompt; the second is good, and comes after the plain prompt twice: its two
    sequences are one, so no token can be inappropriate."""
    told = (10, 11, 77)
    outcomes = [grouped("a", (2.5, 1, "stop"), (8.0, 3, "stop")), lost("b")]
    assert outcomes[0].group is not None
    ids = (told, outcomes[0].group.responses[1].prompt_token_ids)
    outcomes[0] = dataclasses.replace(
        outcomes[0], group=dataclasses.replace(outcomes[0].group, critiqued_prompt_token_ids=ids)
    )
    bad, good = taken(outcomes, CUT)
    assert (bad.sequences[0], good.sequences[0]) == (response(1), response(3))
    assert bad.sequences[1] == TokenSequence(prompt_token_ids=told, token_ids=response(1).token_ids)
    assert good.sequences[1] == dataclasses.replace(response(3), sampler_logps=None)
    assert (bad.progress, good.progress, bad.id, good.id) == (0.0, 0.0, "a/0", "a/0")  # ids are prompt and sample
    assert taken([lost("a")], CUT) == []


def test_groups_of_a_later_epoch_have_a_later_progress() -> None:
    """The first and the third of four prompts in the second of two epochs: (1 + 0/4)/2 and (1 + 2/4)/2."""
    assert [example.progress for example in taken(GROUPS, PPO, epoch=1, epochs=2)] == [0.5, 0.75]


# ------------------------------------------------------------------------------------------------------------- progress


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


def test_wrpo_takes_the_sources_response_before_the_pair() -> None:
    """(source, chosen, rejected), all under the prompt of the pair, without scores; α follows the progress."""
    pair = made("p").pair
    assert pair is not None
    outcome = PairingOutcome(pair=dataclasses.replace(pair, source=rollout("p", (40, 2), (-3.0, -4.0))), dropped=None)
    drop = PairingOutcome(pair=None, dropped=Dropped(prompt_id="q", reason="tie"))
    (example,) = training_examples([drop, outcome], WRPO, first=0, num_prompts=2, epoch=0, epochs=1)
    assert [sequence.token_ids for sequence in example.sequences] == [(40, 2), (20, 21, 2), (30, 2)]
    assert {sequence.prompt_token_ids for sequence in example.sequences} == {(10, 11)}
    assert (example.scores, example.progress) == ((), 0.5)


def test_what_conditioning_made_of_a_prompt_is_learnt_in_place_of_its_responses() -> None:
    """Two lessons of one prompt, both at its place in the epoch, with their weights; a comparison takes the pair."""
    lessons = (
        TokenSequence(prompt_token_ids=(1, 2), token_ids=(3, 4), weights=(1.0, 0.0)),
        TokenSequence(prompt_token_ids=(1,), token_ids=(5,), weights=(0.1,)),
    )
    outcome = dataclasses.replace(made("a"), sequences=lessons)
    assert taken([lost("x"), outcome], SFT) == [
        TrainingExample(id="a/0", sequences=lessons[:1], progress=0.25),
        TrainingExample(id="a/1", sequences=lessons[1:], progress=0.25),
    ]
    assert taken([outcome]) == taken([made("a")])
