"""Responses and judgments of a round, with what a test is not about filled in."""

from roundelay.orchestrator.data.records import FinishReason, Judgment, JudgmentStatus, Rollout


def rollout(
    prompt_id: str,
    sample: int,
    num_tokens: int,
    finish: FinishReason = "stop",
    *,
    text: str = "",
    logprob: float | None = -1.0,
) -> Rollout:
    """A response whose tokens all have the same log-prob (None: a given response, which has none)."""
    return Rollout(
        prompt_id=prompt_id,
        sample=sample,
        variant="plain",
        prompt_token_ids=(1, 2, 3),
        sampler_token_ids=(1, 2, 3),
        token_ids=(5,) * num_tokens,
        logprobs=(logprob,) * num_tokens if logprob is not None else (),
        text=text,
        finish_reason=finish,
        policy_version=0,
        seed=0,
    )


def judgment(
    sample: int,
    score: float | None,
    *,
    status: JudgmentStatus = "parsed",
    mass: float | None = None,
    prompt: str = "p",
    vote: int = 0,
) -> Judgment:
    """A vote on a response."""
    return Judgment(prompt_id=prompt, sample=sample, vote=vote, status=status, score=score, choice_mass=mass, text="")


def comparison(first: int, probability: float | None, *, prompt: str = "p") -> Judgment:
    """One question on samples 0 and 1 that showed `first` as (A): P(sample 0 is better)."""
    return Judgment(
        prompt_id=prompt,
        sample=0,
        other=1,
        vote=first,
        status="unparsable" if probability is None else "parsed",
        score=None,
        probability=probability,
        choice_mass=0.5,
        text="",
    )
