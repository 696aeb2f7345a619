"""Weight sync is verified, always: a few probe sequences are scored by every rollout engine and by the learner."""

import asyncio
from collections.abc import Sequence

from ..data.finite import require_finite
from ..data.records import GenerationRequest, PolicyRef, Prompt, TokenSequence, TrainingExample
from ..errors import RunError
from ..parts.judge import REWARD_MODEL
from ..protocols import Learner, Rollouts, Scorers

PROBE_TOKENS = 4
# Largest tolerated difference in a token's log-prob: the worst token's in float32; in half precision, where single
# tokens differ by chance, the mean over tokens. A logit between 16 and 32 is a multiple of 1/8 in bfloat16 and of 1/64
# in float16.
TOLERANCES = {"float32": 1e-4, "bfloat16": 1 / 8, "float16": 1 / 64}


async def verify_sync(
    policy: PolicyRef,
    probes: Sequence[Prompt],
    *,
    rollouts: Rollouts,
    learner: Learner,
    scorers: Scorers | None,
    dtype: str,
) -> float:
    """How far rollout engines (and scorers that hold the same policy) are apart from the learner on `probes` and short
    continuations of them, in nats a token.

    The prompt's own tokens are scored too: they cost one prefill, and where a model is unsure of a token, other weights
    show most.

    Raises:
        RunError: they differ by more than the dtype's tolerance: someone holds other weights than the learner. Or
            somebody's log-probs are not finite.
    """
    requests = [
        GenerationRequest(messages=probe.messages, seed=0, temperature=0.0, top_p=1.0, max_tokens=PROBE_TOKENS)
        for probe in probes
    ]
    generations = await rollouts.generate(requests)
    sequences = [
        TokenSequence(
            prompt_token_ids=generation.prompt_token_ids[:1],
            token_ids=generation.prompt_token_ids[1:] + generation.token_ids,
        )
        for generation in generations
        if generation.token_ids
    ]
    assert sequences, "every probe prompt is too long for the model"
    expected, by_engine = await asyncio.gather(learner.logps(sequences), rollouts.score(sequences))
    found = {f"rollout engine {index}": logps for index, logps in enumerate(by_engine)}
    for name, model in scorers.models.items() if scorers else ():
        if scorers and model == policy:
            found[f"the scorer's model {name!r}"] = await scorers.logps(name, sequences)
    for who, logps in {"the learner": expected, **found}.items():
        for tokens in logps:
            require_finite(f"log-probs that {who} gives a probe under policy {policy.version}", tokens)
    gaps = {who: _gap(logps, expected, dtype) for who, logps in found.items()}
    worst = max(gaps, key=gaps.__getitem__)
    if gaps[worst] > TOLERANCES[dtype]:
        raise RunError(
            f"{worst} and the learner disagree on policy {policy.version}: probe log-probs differ by "
            f"{gaps[worst]:.2e} nats a token (tolerance {TOLERANCES[dtype]:.1e} in {dtype})",
            "the weights did not arrive whole, or vLLM and transformers compute this model differently; "
            "report it with the model's config.json",
        )
    return gaps[worst]


async def verify_scores(
    reward_model: PolicyRef, examples: Sequence[TrainingExample], *, scorers: Scorers, learner: Learner, dtype: str
) -> float:
    """How far the reward model's actors and the learner that trained it are apart on `examples`' responses.

    Raises:
        RunError: by more than the dtype's tolerance, relative to scores above 1; or a score is not finite.
    """
    sequences = [sequence for example in examples for sequence in example.sequences]
    if not sequences:
        return 0.0
    expected, scored = await asyncio.gather(learner.scores(sequences), scorers.score(REWARD_MODEL, sequences))
    for who, rows in (("the learner", expected), ("the scorer", scored)):
        for row in rows:
            require_finite(f"scores that {who} gives under reward model {reward_model.version}", row)
    gap = max(
        abs(a - b) / max(1.0, abs(b))
        for row, other in zip(scored, expected, strict=True)
        for a, b in zip(row, other, strict=True)
    )
    if gap > TOLERANCES[dtype]:
        raise RunError(
            f"the scorer and the learner disagree on reward model {reward_model.version} by {gap:.2e} "
            f"(tolerance {TOLERANCES[dtype]:.1e} in {dtype})",
            "the reward model was not written or read whole; report it with the model's config.json",
        )
    return gap


def _gap(scored: Sequence[Sequence[float]], expected: Sequence[Sequence[float]], dtype: str) -> float:
    differences = [
        abs(a - b) for left, right in zip(scored, expected, strict=True) for a, b in zip(left, right, strict=True)
    ]
    return max(differences) if dtype == "float32" else sum(differences) / len(differences)
