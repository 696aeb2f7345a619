"""What judges in words share: votes of reasons that end in a score, which is read by `score_line`'s grammar.

A judgment's score comes only from what the judge wrote after the judging prompt. Prompt and response stand between
delimiters that are escaped inside them (see `rendering`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from ...orchestrator.data.records import Generation, Judgment, Message, Prompt, Rollout
from ...orchestrator.data.seeds import derive_seed
from ...orchestrator.parts.sampling import SamplingConfig
from ...orchestrator.protocols import Generate
from ..generation.requests import request_for
from .last_line import with_last_line
from .score_line import ScoreForm, read_score
from .thought import words_of
from .verdicts import scored

Case: TypeAlias = Callable[[Prompt, Rollout], tuple[Message, ...]]  # what a response's judging prompt is
Slot: TypeAlias = tuple[Rollout, int]  # a response, and the index of the vote on it


async def judge_in_words(
    slots: Sequence[Slot],
    prompts: Mapping[str, Prompt],
    generate: Generate,
    *,
    case: Case,
    form: ScoreForm,
    sampling: SamplingConfig,
    constrain_last_line: bool,
    seed_parts: tuple[int | str, ...],
) -> list[Judgment]:
    """One judgment a slot, from what is answered to its `case`: each with a seed of its own. With `constrain_last_line`
    the score after the reasons is decoded among the form's digits."""
    requests = [
        request_for(
            case(prompts[rollout.prompt_id], rollout),
            sampling,
            derive_seed(*seed_parts, rollout.prompt_id, rollout.sample, vote),
            stop=(form.opening.strip(),) if constrain_last_line else (),
        )
        for rollout, vote in slots
    ]
    answers = await generate(requests)
    if constrain_last_line:
        answers = await with_last_line(
            requests, answers, generate, opening=form.opening, choices=form.digits, closing=form.closing
        )
    return [_judgment(rollout, vote, answer, form) for (rollout, vote), answer in zip(slots, answers, strict=True)]


def _judgment(rollout: Rollout, vote: int, answer: Generation, form: ScoreForm) -> Judgment:
    if answer.finish_reason == "prompt_too_long":
        return scored(rollout, vote=vote, status="truncated", score=None)
    status, score = read_score(words_of(answer), form, complete=answer.finish_reason == "stop")
    return scored(rollout, vote=vote, status=status, score=score, answer=answer)
