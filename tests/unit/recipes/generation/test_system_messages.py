"""Janus' responses: one that followed a system message and one that followed another, both trained under the first."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from support.scripted_engine import Engine, encode, prompts, system, user

from roundelay.orchestrator.data.records import Prompt, Rollout, Shard
from roundelay.orchestrator.parts.sampling import SamplingConfig
from roundelay.recipes.generation.system_messages import SystemMessagesGeneration, sample_system_messages, two_different

TEXTS = ("Be brief.", "Be thorough.", "Be funny.")


def sampled(shard_prompts: Sequence[Prompt], texts: Sequence[str] = TEXTS) -> tuple[list[Rollout], Engine]:
    config = SystemMessagesGeneration(
        kind="system_messages",
        system_messages=tuple(texts),
        sampling=SamplingConfig(temperature=0.7, top_p=0.9, max_tokens=48),
        truncated="keep",
    )
    engine = Engine()
    shard = Shard(round=1, index=0, prompts=tuple(shard_prompts), split="train")
    return asyncio.run(sample_system_messages(shard, 4, engine, config=config, seed_parts=(0, "train", 1))), engine


def test_both_responses_are_trained_under_the_prompt_with_the_message_that_the_first_followed() -> None:
    rollouts, engine = sampled(prompts("ants"))
    followed, other = engine.requests
    assert [(r.sample, r.variant) for r in rollouts] == [(0, "positive"), (1, "negative")]
    assert [rollout.sampler_token_ids for rollout in rollouts] == [encode(followed.messages), encode(other.messages)]
    assert {rollout.prompt_token_ids for rollout in rollouts} == {encode(followed.messages)}
    assert followed.messages[0].content in TEXTS and other.messages[0].content in TEXTS
    assert followed.messages[0] != other.messages[0] and followed.messages[1:] == other.messages[1:]


def test_the_users_own_system_message_stays_before_the_drawn_one() -> None:
    asked = Prompt(id="ants", messages=(system("Answer in English."), user("Hi")))
    rollouts, engine = sampled([asked], TEXTS[:2])
    contents = {request.messages[0].content for request in engine.requests}
    assert contents == {"Answer in English.\nBe brief.", "Answer in English.\nBe thorough."}
    assert rollouts[0].prompt_token_ids == encode(engine.requests[0].messages) != encode(asked.messages)


def test_all_ordered_pairs_of_messages_are_drawn_whatever_the_order_of_the_prompts() -> None:
    """Uniform over six ordered pairs and 600 prompts: 100 ± 9 each, so 55–145 is five standard deviations."""
    names = [f"topic-{number}" for number in range(600)]

    def pairs(shard_prompts: Sequence[Prompt]) -> dict[str, tuple[str, str]]:
        rollouts, engine = sampled(shard_prompts)
        said = [request.messages[0].content for request in engine.requests]
        return {
            r.prompt_id: pair for r, pair in zip(rollouts[::2], zip(said[::2], said[1::2], strict=True), strict=True)
        }

    drawn = pairs(prompts(*names))
    assert pairs(prompts(*reversed(names))) == drawn
    counts = Counter(drawn.values())
    assert len(counts) == 6 and all(55 < count < 145 for count in counts.values()), counts


@given(count=st.integers(2, 20), seed=st.integers(0, 2**31 - 1))
def test_two_different_indices_are_drawn_and_every_pair_of_them_equally(count: int, seed: int) -> None:
    """count·(count − 1) seeds in a row give each ordered pair once."""
    run = [two_different(count, seed + step) for step in range(count * (count - 1))]
    assert len(set(run)) == len(run)
    assert all(a != b and 0 <= a < count and 0 <= b < count for a, b in run)
