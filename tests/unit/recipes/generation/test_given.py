"""Given responses become rollouts as they are, and what is imitated of them is the best."""

import asyncio
from collections.abc import Sequence

from support import judging
from support.configs import SAMPLING

from roundelay.orchestrator.data.records import (
    FinishReason,
    Generation,
    GenerationRequest,
    Message,
    Prompt,
    Rollout,
    Shard,
    Variant,
)
from roundelay.recipes.generation.given import sample_given
from roundelay.recipes.generation.given_and_sampled import sample_beside_given
from roundelay.recipes.pairing.demonstrations import pair_demonstrations


def prompt(id: str, *responses: str) -> Prompt:
    return Prompt(id=id, messages=(Message(role="user", content=f"ask {id}"),), responses=responses)


async def encode(requests: Sequence[GenerationRequest]) -> list[Generation]:
    """As the engine answers a request with a given response: token ids without log-probs."""
    return [
        Generation(
            prompt_token_ids=(1, 2),
            plain_token_ids=(),
            token_ids=(*map(ord, request.response or ""), 0),
            logprobs=(),
            text=request.response or "",
            finish_reason="stop",
            choice_logprobs=(),
        )
        for request in requests
    ]


def given(*prompts: Prompt) -> list[Rollout]:
    shard = Shard(round=1, index=0, prompts=prompts, split="train")
    return asyncio.run(sample_given(shard, 3, encode))


def test_a_responses_sample_is_its_rank_in_the_data_set() -> None:
    found = given(prompt("a", "good", "bad"), prompt("b", "only"))
    assert [(r.prompt_id, r.sample, r.variant, r.text) for r in found] == [
        ("a", 0, "ranked", "good"),
        ("a", 1, "ranked", "bad"),
        ("b", 0, "ranked", "only"),
    ]
    assert {(r.logprobs, r.finish_reason, r.policy_version) for r in found} == {((), "stop", 3)}


def test_a_prompt_without_a_response_gets_no_rollout() -> None:
    assert given(prompt("a")) == []


def test_of_ranked_responses_the_best_is_imitated_and_of_sampled_ones_all() -> None:
    asked = prompt("a", "good", "bad")
    ranked = given(asked)
    outcome = pair_demonstrations(asked, ranked[::-1], drop_truncated=False)
    assert outcome.group is not None and [r.text for r in outcome.group.responses] == ["good"]
    sampled = [rollout("plain", 0), rollout("plain", 1)]
    outcome = pair_demonstrations(asked, sampled[::-1], drop_truncated=False)
    assert outcome.group is not None and list(outcome.group.responses) == sampled
    assert outcome.group.scores == ()


def test_a_response_to_a_negative_contrast_prompt_is_never_imitated() -> None:
    outcome = pair_demonstrations(prompt("a"), [rollout("positive", 0), rollout("negative", 1)], drop_truncated=False)
    assert outcome.group is not None and [r.variant for r in outcome.group.responses] == ["positive"]


def test_what_is_cut_or_blank_is_dropped_by_its_reason() -> None:
    cut, blank = rollout("plain", 0, finish="length"), rollout("plain", 0, text=" ")
    reasons = [
        outcome.dropped and outcome.dropped.reason
        for outcome in (
            pair_demonstrations(prompt("a"), [cut], drop_truncated=True),
            pair_demonstrations(prompt("a"), [blank], drop_truncated=True),
            pair_demonstrations(prompt("a"), [cut], drop_truncated=False),
        )
    ]
    assert reasons == ["truncated", "empty", None]


def rollout(variant: Variant, sample: int, text: str = "x", finish: FinishReason = "stop") -> Rollout:
    return judging.rollout("a", sample, text, finish=finish, variant=variant)


def test_spins_pair_is_the_best_given_response_over_a_sampled_one() -> None:
    """The given one is encoded, not sampled; the policy's own has a seed of its own prompt, round and run, and the
    phase's budget. Prompts without a response get neither, so that nothing of theirs is paired."""
    asked: list[GenerationRequest] = []

    async def answer(requests: Sequence[GenerationRequest]) -> list[Generation]:
        asked.extend(requests)
        return await encode(requests)

    def sampled(*seed_parts: int) -> list[Rollout]:
        prompts = (prompt("a", "good", "bad"), prompt("none"), prompt("b", "only"))
        shard = Shard(round=1, index=0, prompts=prompts, split="train")
        return asyncio.run(sample_beside_given(shard, 3, answer, sampling=SAMPLING, seed_parts=seed_parts))

    found = sampled(0, 1)
    assert [(r.prompt_id, r.sample, r.variant) for r in found] == [
        ("a", 0, "positive"), ("a", 1, "negative"), ("b", 0, "positive"), ("b", 1, "negative")
    ]  # fmt: skip
    assert [request.response for request in asked] == ["good", None, "only", None]
    assert {request.max_tokens for request in asked[1::2]} == {SAMPLING.max_tokens}
    seeds = [
        [r.seed for r in rollouts if r.variant == "negative"] for rollouts in (found, sampled(0, 1), sampled(0, 2))
    ]
    assert seeds[0] == seeds[1] and len({*seeds[0], *seeds[2]}) == 4
