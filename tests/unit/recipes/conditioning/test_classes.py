"""Responses of two classes: the words they are learnt under, their weights, and what does not fit."""

import asyncio
from dataclasses import replace

import pytest
from support import pairing
from support.conditioning import Encoder
from support.configs import CLASSES

from roundelay.orchestrator.data.filtering import Decision, filtered
from roundelay.orchestrator.data.records import Dropped, PairingOutcome, PreferencePair, ResponseGroup, Rollout
from roundelay.recipes.conditioning.classes import condition_classes

EXPERT, OTHER = tuple(b"system:Expert.|user:Hi|"), tuple(b"user:Hi|Layman: ")
DROPPED = PairingOutcome(pair=None, dropped=Dropped(prompt_id="p", reason="tie"))


def response(sample: int, *token_ids: int) -> Rollout:
    return replace(pairing.rollout(sample), token_ids=token_ids)


def of_pair(chosen: Rollout, rejected: Rollout) -> PairingOutcome:
    pair = PreferencePair(
        prompt=pairing.PROMPT, chosen=chosen, rejected=rejected, margin=None, label_probability=1.0,
        provenance="contrast",
    )  # fmt: skip
    return PairingOutcome(pair=pair, dropped=None)


def of_group(*scores: float) -> PairingOutcome:
    """As many tokens as its place: 1, 2, 3, …"""
    responses = tuple(response(index, *range(1, index + 2)) for index in range(len(scores)))
    return PairingOutcome(
        pair=None, dropped=None, group=ResponseGroup(prompt=pairing.PROMPT, responses=responses, scores=scores)
    )


def conditioned(*outcomes: PairingOutcome, max_tokens: int = 99) -> list[PairingOutcome]:
    return asyncio.run(condition_classes(outcomes, Encoder(), config=CLASSES, max_tokens=max_tokens))


def test_the_chosen_response_is_the_experts_and_the_rejected_one_the_others() -> None:
    """Every token of a response has its class's weight; prompt and class words stand before all that is learnt."""
    (made,) = conditioned(of_pair(response(0, 5, 6, 2), response(1, 7, 2)))
    expert, other = made.sequences
    assert (expert.prompt_token_ids, expert.token_ids, expert.weights) == (EXPERT, (5, 6, 2), (1.0, 1.0, 1.0))
    assert (other.prompt_token_ids, other.token_ids, other.weights) == (OTHER, (7, 2), (0.1, 0.1))


@pytest.mark.parametrize(("scores", "experts"), [((4.0, 2.0, 1.0), 1), ((4.0, 4.0, 1.0), 2)])
def test_all_that_score_highest_in_a_group_are_the_experts(scores: tuple[float, ...], experts: int) -> None:
    (made,) = conditioned(of_group(*scores))
    assert [sequence.prompt_token_ids for sequence in made.sequences] == [EXPERT] * experts + [OTHER] * (3 - experts)
    assert [len(sequence.token_ids) for sequence in made.sequences] == [1, 2, 3]
    assert made.group == of_group(*scores).group


def test_several_prompts_keep_their_own_lessons_and_a_drop_stays_a_drop() -> None:
    one, other = of_pair(response(0, 5), response(1, 6)), of_group(3.0, 1.0)
    made = conditioned(one, DROPPED, other)
    assert made == [*conditioned(one), DROPPED, *conditioned(other)]


def test_a_response_that_does_not_fit_is_left_out_of_its_group_and_a_prompt_without_any_is_dropped() -> None:
    """The expert's prompt has 23 tokens, the others' 16: with 18 only the response of two tokens fits."""
    (made,) = conditioned(of_group(3.0, 2.0, 1.0), max_tokens=18)
    assert [sequence.token_ids for sequence in made.sequences] == [(1, 2)]
    assert made.group is not None and made.group.scores == (2.0,)
    assert [one.sample for one in made.group.responses] == [1]
    (none,) = conditioned(of_pair(response(0, 5), response(1, 6)), max_tokens=16)
    assert none == PairingOutcome(pair=None, dropped=Dropped(prompt_id="p", reason="too_long"))


def test_what_a_filter_drops_is_not_learnt_either() -> None:
    """Of a group the response that stays keeps its own lesson; a dropped pair has none."""
    group, pair = conditioned(of_group(3.0, 2.0), of_pair(response(0, 5), response(1, 6)))
    rest, dropped = filtered([group, pair], Decision(dropped=["low_score", None, "long_chosen"]), 0)
    assert rest.sequences == group.sequences[1:]
    assert (dropped.sequences, dropped.dropped) == ((), Dropped(prompt_id="p", reason="long_chosen"))
