"""A ladder's responses: one a described level, ranked by it, trained under the plain prompt."""

import asyncio
from collections.abc import Sequence

import pytest
from support.scripted_engine import Engine, assistant, encode, prompts, system, user

from roundelay.orchestrator.data.records import Prompt, Rollout, Shard
from roundelay.orchestrator.parts.sampling import SamplingConfig
from roundelay.recipes.generation.ladder import LadderGeneration, sample_ladder

LEVELS = ("a masterly answer", "a fair answer", "a poor answer")


def ladder(shard_prompts: Sequence[Prompt], placement: str = "in_turn", index: int = 0) -> tuple[list[Rollout], Engine]:
    config = LadderGeneration(
        kind="ladder",
        placement=placement,  # pyright: ignore[reportArgumentType]
        levels=LEVELS,
        sampling=SamplingConfig(temperature=0.7, top_p=0.9, max_tokens=48),
        truncated="keep",
    )
    engine = Engine()
    shard = Shard(round=1, index=index, prompts=tuple(shard_prompts), split="train")
    return asyncio.run(sample_ladder(shard, 4, engine, config=config, seed_parts=(0, "train", 1))), engine


def test_every_level_gives_the_response_of_its_rank_under_its_own_description() -> None:
    rollouts, engine = ladder(prompts("ants", "bees"))
    assert [(r.prompt_id, r.sample, r.variant) for r in rollouts] == [
        (name, level, "ranked") for name in ("ants", "bees") for level in range(3)
    ]
    for rollout, request in zip(rollouts, engine.requests, strict=True):
        assert request.assistant_prefix == f"({LEVELS[rollout.sample]}) "
        assert (rollout.text, rollout.policy_version) == (f"answer {request.seed}", 4)


@pytest.mark.parametrize("placement", ["in_turn", "system"])
def test_all_levels_are_trained_under_the_prompt_as_the_user_gave_it(placement: str) -> None:
    """Also in a conversation, whose earlier turns describe nothing."""
    dialogue = (system("Be brief."), user("one"), assistant("two"), user("three"))
    rollouts, engine = ladder([Prompt(id="ants", messages=dialogue)], placement)
    for rollout, request in zip(rollouts, engine.requests, strict=True):
        assert rollout.prompt_token_ids == encode(dialogue)
        assert rollout.sampler_token_ids == encode(request.messages, request.assistant_prefix) != encode(dialogue)
        assert request.messages[1:] == dialogue[1:]
        assert LEVELS[rollout.sample] in request.messages[0].content + request.assistant_prefix


def test_seeds_belong_to_prompt_and_level_not_to_their_place() -> None:
    forwards, _ = ladder(prompts("ants", "bees", "cats"))
    backwards, _ = ladder(prompts("cats", "bees", "ants"), index=7)
    seeds = {(rollout.prompt_id, rollout.sample): rollout.seed for rollout in forwards}
    assert {(rollout.prompt_id, rollout.sample): rollout.seed for rollout in backwards} == seeds
    assert len(set(seeds.values())) == 9
