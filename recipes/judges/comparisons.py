"""How two responses to a prompt come before a judge: which, in which order, and as which vote."""

from collections.abc import Sequence
from typing import Literal

from ...orchestrator.data.records import Prompt, Rollout, Shard
from ...orchestrator.data.seeds import derive_seed
from ...orchestrator.parts.counts import AT_MOST, Count


def two_responses(shard: Shard, rollouts: Sequence[Rollout]) -> list[tuple[Prompt, tuple[Rollout, Rollout]]]:
    """Every prompt that has exactly two responses, samples 0 and 1, with them."""
    responses: dict[str, list[Rollout]] = {}
    for rollout in sorted(rollouts, key=lambda rollout: rollout.sample):
        responses.setdefault(rollout.prompt_id, []).append(rollout)
    found = [(prompt, responses.get(prompt.id, [])) for prompt in shard.prompts]
    return [(prompt, (own[0], own[1])) for prompt, own in found if [rollout.sample for rollout in own] == [0, 1]]


def shown_first(orders: Literal["one", "both"], seed_parts: tuple[int | str, ...], prompt: Prompt) -> tuple[int, ...]:
    """The sample that each question about a prompt shows first: one drawn by seed, or each once."""
    return (0, 1) if orders == "both" else (derive_seed(*seed_parts, prompt.id, "order") % 2,)


def comparisons_of(responses: Count, orders: Literal["one", "both"]) -> Count:
    """How often a vote compares a prompt's responses: exactly two. How many given ones there are is not known before
    they are read."""
    bound = AT_MOST if responses.bound else ""
    return Count(number=(2 if orders == "both" else 1) * (bool(bound) or responses.number == 2), bound=bound)


def told_order(orders: Literal["one", "both"]) -> str:
    return "asked both ways round" if orders == "both" else "asked once, in an order drawn by seed"
