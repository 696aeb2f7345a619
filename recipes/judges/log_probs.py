"""What judges that compare models by their log-probs share: whose log-probs of a response, and what they add up to."""

import math
from collections.abc import Awaitable, Callable, Container, Sequence
from statistics import fmean
from typing import Literal, TypeAlias

from ...orchestrator.data.records import Judgment, Rollout, Shard, TokenSequence
from ...orchestrator.errors import RunError
from ...orchestrator.protocols import Generate, Scorers

# Where the policy's log-probs come from: the engine that sampled; or, recomputed, the code that the other models' come
# from. In float32 they are the same; in bfloat16 the engines' rounding differs, by more than near responses do.
JudgedLogps: TypeAlias = Literal["rollout", "recompute"]
# Log-probs of every sequence's response tokens under the model of that name.
Logps: TypeAlias = Callable[[str, Sequence[TokenSequence]], Awaitable[list[list[float]]]]


async def judge_by_logps(
    shard: Shard,
    rollouts: Sequence[Rollout],
    generate: Generate,
    *,
    judge: Callable[..., Awaitable[list[Judgment]]],
    names: Container[str],
    scorers: Scorers | None,
) -> list[Judgment]:
    """What `judge` makes of its models' log-probs. The scorers hold those in `names`: the policy itself where its
    log-probs do not come with the rollouts; where those are all that is compared, there are no scorers."""
    logps = with_own_logps(rollouts, scorers.logps if scorers else None)
    if "policy" in names:
        assert scorers is not None, "a run whose judge asks a model has scorers"
        logps = scorers.logps
    return await judge(shard, rollouts, generate, logps=logps)


def with_own_logps(rollouts: Sequence[Rollout], logps: Logps | None) -> Logps:
    """`logps`, but for the policy's own: those are in `rollouts`, which it has sampled from the plain prompts. Without
    `logps` there are no others.

    The sampler's log-probs (at temperature 1) are the policy's up to the parity that every weight sync is held to.
    """
    own = {(rollout.prompt_token_ids, rollout.token_ids): rollout.logprobs for rollout in rollouts}

    async def known(model: str, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        if model != "policy":
            assert logps is not None, f"nobody holds {model}"
            return await logps(model, sequences)
        return [list(own[sequence.prompt_token_ids, sequence.token_ids]) for sequence in sequences]

    return known


async def response_logps(
    model: str,
    rollouts: Sequence[Rollout],
    logps: Logps,
    *,
    tokens: Literal["sum", "mean"],
    prompts: Sequence[tuple[int, ...]] | None = None,
) -> list[float]:
    """log π of every response, its end-of-turn token included: the sum or the mean over its tokens, in nats.

    `prompts` are the token ids that each response is taken to follow; None for the plain prompts.

    Raises:
        RunError: a log-prob is not finite.
    """
    before = prompts or [rollout.prompt_token_ids for rollout in rollouts]
    by_token = await logps(
        model,
        [
            TokenSequence(prompt_token_ids=prompt, token_ids=rollout.token_ids)
            for prompt, rollout in zip(before, rollouts, strict=True)
        ],
    )
    for rollout, values in zip(rollouts, by_token, strict=True):
        if not all(map(math.isfinite, values)):
            raise RunError(
                f"the model {model} gave a log-prob that is not finite for prompt {rollout.prompt_id!r}, sample "
                f"{rollout.sample}",
                "look at its weights, and at the gradient norm of the phase that trained it; float16 overflows where "
                "model.dtype=bfloat16 does not",
            )
    return [math.fsum(values) if tokens == "sum" else fmean(values) for values in by_token]
