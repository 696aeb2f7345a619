"""A worse answer by construction: to another instruction, and trained under the original one."""

import asyncio

import pytest
from support.scripted_engine import TOO_LONG, Engine, encode, prompts, said, system, user

from roundelay.orchestrator.data.records import Generation, Prompt, Rollout, Shard
from roundelay.orchestrator.parts.sampling import SamplingConfig
from roundelay.recipes.generation.altered_instruction import (
    AlteredInstructionGeneration,
    alteration_prompt,
    sample_altered_instruction,
)
from roundelay.recipes.pairing.contrast import pair_contrast

ANTS = prompts("ants")[0]
CONFIG = AlteredInstructionGeneration(
    kind="altered_instruction",
    sampling=SamplingConfig(temperature=0.7, top_p=0.9, max_tokens=48, stop=("<end>",)),
    truncated="keep",
)


def sampled(*answers: str | Generation, of: tuple[Prompt, ...] = (ANTS,)) -> tuple[list[Rollout], Engine]:
    rest = iter(answers)
    engine = Engine(lambda request: next(rest))
    shard = Shard(round=1, index=0, prompts=of, split="train")
    seed_parts = (0, "train", 1)
    rollouts = asyncio.run(sample_altered_instruction(shard, 4, engine, config=CONFIG, seed_parts=seed_parts))
    assert next(rest, None) is None, "everything was asked for"
    return rollouts, engine


def test_the_answer_to_the_other_instruction_is_rejected_under_the_original_prompt() -> None:
    rollouts, engine = sampled("Six legs.", " Tell me of wasps.\n", "They sting.")
    assert [(one.sample, one.variant, one.text) for one in rollouts] == [
        (0, "positive", "Six legs."), (1, "interim", " Tell me of wasps.\n"), (2, "negative", "They sting."),
    ]  # fmt: skip
    assert not any(one.remark for one in rollouts)
    asked = [request.messages for request in engine.requests]
    assert asked == [ANTS.messages, alteration_prompt(ANTS.messages), (user("Tell me of wasps."),)]
    assert {one.prompt_token_ids for one in rollouts} == {encode(ANTS.messages)}
    assert rollouts[2].sampler_token_ids == encode((user("Tell me of wasps."),))
    assert len({one.seed for one in rollouts}) == 3
    assert all(request.stop == ("<end>",) for request in engine.requests)
    pair = pair_contrast(ANTS, rollouts, drop_truncated=False, shuffle_seed=None).pair
    assert pair is not None and (pair.chosen, pair.rejected) == (rollouts[0], rollouts[2])


def test_a_conversation_keeps_what_was_said_before_the_instruction() -> None:
    talk = Prompt(id="t", messages=(system("Be brief."), user("Tell me of ants.")))
    _, engine = sampled("Legs.", "Tell me of wasps.", "Stings.", of=(talk,))
    assert engine.requests[2].messages == (system("Be brief."), user("Tell me of wasps."))
    assert engine.requests[1].messages[0].content.count("</prompt>") == 1


@pytest.mark.parametrize(
    ("made", "remark"),
    [
        (" \n", "empty"),
        (said("Tell me of wa", cut=True), "truncated"),
        ("Tell me of ants. ", "unchanged"),
        (TOO_LONG, "too_long"),
    ],
)
def test_what_is_no_other_instruction_makes_no_pair_and_says_why(made: str | Generation, remark: str) -> None:
    """And nobody answers it."""
    rollouts, _ = sampled("Six legs.", made)
    assert [(one.sample, one.variant, one.remark) for one in rollouts] == [(0, "positive", ""), (1, "interim", remark)]
    outcome = pair_contrast(ANTS, rollouts, drop_truncated=False, shuffle_seed=None)
    assert outcome.dropped is not None and outcome.dropped.reason == remark


def test_an_instruction_that_leaves_no_room_for_an_answer_says_so() -> None:
    rollouts, _ = sampled("Six legs.", "Tell me of wasps.", TOO_LONG)
    assert [(one.variant, one.remark) for one in rollouts] == [("positive", ""), ("interim", "too_long")]


def test_prompts_of_a_shard_end_each_for_itself() -> None:
    of = tuple(prompts("ants", "bees", "cats"))
    rollouts, _ = sampled("a", "b", "c", "wasps?", "", "dogs?", "w", "d", of=of)
    assert [(one.prompt_id, one.text) for one in rollouts] == [
        ("ants", "a"), ("ants", "wasps?"), ("ants", "w"), ("bees", "b"), ("bees", ""),
        ("cats", "c"), ("cats", "dogs?"), ("cats", "d"),
    ]  # fmt: skip
