"""Judgments as the judges make them: of one response with a score, or of two with a probability."""

from collections.abc import Sequence

from ...orchestrator.data.records import Generation, Judgment, JudgmentStatus, Rollout
from .thought import words_of

# Scores and probabilities of next-token probabilities are rounded here: far above the engine's repeatability (1e-7
# nats), far below a difference that means anything. A shard judged again after a crash then gives the same pairs.
SCORE_DECIMALS = 4


def scored(
    rollout: Rollout,
    *,
    vote: int,
    status: JudgmentStatus,
    score: float | None,
    choice_mass: float | None = None,
    answer: Generation | None = None,
    agrees: bool | None = None,
    attributes: tuple[float, ...] = (),
) -> Judgment:
    """A vote on one response. `answer` is what the judge wrote, where it is kept: a judge can be trained on it."""
    return Judgment(
        prompt_id=rollout.prompt_id,
        sample=rollout.sample,
        vote=vote,
        status=status,
        score=score,
        choice_mass=choice_mass,
        text=words_of(answer) if answer else "",
        agrees=agrees,
        attributes=attributes,
        judge_prompt_token_ids=answer.prompt_token_ids if answer else (),
        judge_token_ids=answer.token_ids if answer else (),
    )


def summed_up(judgments: Sequence[Judgment], sample: int, score: float) -> Judgment:
    """What all `judgments` on one prompt's responses come to for one of them."""
    return Judgment(
        prompt_id=judgments[0].prompt_id,
        sample=sample,
        vote=0,
        status="parsed",
        score=score,
        choice_mass=None,
        text="",
    )


def compared(
    prompt_id: str,
    sample: int,
    other: int,
    *,
    vote: int,
    status: JudgmentStatus,
    probability: float | None,
    choice_mass: float | None = None,
    answer: Generation | None = None,
) -> Judgment:
    """A vote on two responses to a prompt: the probability that `sample` is better than `other`."""
    return Judgment(
        prompt_id=prompt_id,
        sample=sample,
        other=other,
        vote=vote,
        status=status,
        score=None,
        probability=probability,
        choice_mass=choice_mass,
        text=words_of(answer) if answer else "",
        judge_prompt_token_ids=answer.prompt_token_ids if answer else (),
        judge_token_ids=answer.token_ids if answer else (),
    )


def by_prompt(judgments: Sequence[Judgment]) -> list[list[Judgment]]:
    found: dict[str, list[Judgment]] = {}
    for judgment in judgments:
        found.setdefault(judgment.prompt_id, []).append(judgment)
    return list(found.values())
