"""What asks an engine for a response, and the record that its answer becomes."""

from collections.abc import Awaitable, Callable, Sequence

from ...orchestrator.data.records import Generation, GenerationRequest, Message, Prompt, Rollout, Shard, Variant
from ...orchestrator.parts.sampling import POLICY, SamplingConfig
from ...orchestrator.protocols import Generate, Sample


def seed_parts_of(seed: int, shard: Shard) -> tuple[int | str, ...]:
    """What the seeds of a shard's responses depend on, beside the prompt and the number of the sample."""
    return seed, shard.split, shard.round


def by_policy(sample: Callable[..., Awaitable[list[Rollout]]], seed: int) -> Sample:
    """A way of generation that the policy alone samples by, with the seeds of its shard."""

    async def sampled(
        shard: Shard, policy_version: int, generate: Generate, sampler: str, others: Sequence[Rollout]
    ) -> list[Rollout]:
        return await sample(shard, policy_version, generate, seed_parts=seed_parts_of(seed, shard))

    return sampled


def request_for(
    messages: Sequence[Message],
    sampling: SamplingConfig,
    seed: int,
    assistant_prefix: str = "",
    plain_messages: Sequence[Message] = (),
    stop: Sequence[str] = (),
) -> GenerationRequest:
    """A request by `sampling`, which ends at further strings of `stop`."""
    return GenerationRequest(
        messages=tuple(messages),
        seed=seed,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=sampling.max_tokens,
        stop=(*sampling.stop, *stop),
        assistant_prefix=assistant_prefix,
        plain_messages=tuple(plain_messages),
    )


def rollout_of(
    prompt: Prompt,
    sample: int,
    variant: Variant,
    request: GenerationRequest,
    generation: Generation,
    prompt_token_ids: tuple[int, ...],
    policy_version: int,
    sampler: str = POLICY,
) -> Rollout:
    if generation.finish_reason == "prompt_too_long":
        raise ValueError(
            f"prompt {prompt.id} ({variant}) has {len(generation.prompt_token_ids)} tokens and does not fit the model"
        )
    return Rollout(
        prompt_id=prompt.id,
        sample=sample,
        variant=variant,
        prompt_token_ids=prompt_token_ids,
        sampler_token_ids=generation.prompt_token_ids,
        token_ids=generation.token_ids,
        logprobs=generation.logprobs,
        text=generation.text,
        finish_reason=generation.finish_reason,
        policy_version=policy_version,
        seed=request.seed,
        sampler=sampler,
    )
