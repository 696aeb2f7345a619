"""The policy as judge, in words: reasons that end in a score.

A judgment's score comes only from what the judge wrote after the judging prompt. Prompt and response stand between
delimiters that are escaped inside them (see `rendering`).
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from ...orchestrator.judge_config import AdditiveJudge
from ...orchestrator.protocols import Generate
from ...orchestrator.records import Generation, GenerationRequest, Judgment, JudgmentStatus, Rollout, Shard
from ...orchestrator.seeds import derive_seed
from .rubric import MAX_SCORE, rubric_case
from .verdicts import scored

SCORE_LINE = "Score: "

_ASK_REASONED = (
    "First explain your judgment in at most 100 words. Then end with one last line of exactly this form:\n"
    "Score: <total points from 0 to 5>"
)
_MARKER = re.compile(r"(?<![A-Za-z])score[ \t*_]*:", re.IGNORECASE)
_VALUE = re.compile(
    r"[ \t*_]*(?P<value>-?\d{1,6}(?:\.\d{1,6})?)(?![.,]?\d)[ \t*_]*(?:(?:/|out of)[ \t*_]*(?P<of>\d{1,6})(?!\d))?",
    re.IGNORECASE,
)


async def judge_additive(
    shard: Shard,
    rollouts: Sequence[Rollout],
    generate: Generate,
    *,
    config: AdditiveJudge,
    seed_parts: tuple[int | str, ...],
) -> list[Judgment]:
    """`votes` judgments a rollout, each free-text reasoning that ends in a score: Self-Rewarding LMs,
    arXiv 2401.10020, section 2.2. With `constrain_last_line` the score after the reasoning is decoded among 0–5."""
    prompts = {prompt.id: prompt for prompt in shard.prompts}
    slots = [(rollout, vote) for rollout in rollouts for vote in range(config.votes)]
    requests = [
        GenerationRequest(
            messages=rubric_case(prompts[rollout.prompt_id], rollout, _ASK_REASONED),
            seed=derive_seed(*seed_parts, shard.round, rollout.prompt_id, rollout.sample, vote),
            temperature=config.sampling.temperature,
            top_p=config.sampling.top_p,
            max_tokens=config.sampling.max_tokens,
            stop=(*config.sampling.stop, *((SCORE_LINE.strip(),) if config.constrain_last_line else ())),
        )
        for rollout, vote in slots
    ]
    answers = await generate(requests)
    if config.constrain_last_line:
        answers = await _constrained(requests, answers, generate)
    return [_additive_judgment(rollout, vote, answer) for (rollout, vote), answer in zip(slots, answers, strict=True)]


def parse_score(text: str, *, complete: bool) -> tuple[JudgmentStatus, float | None]:
    """The score in what a judge wrote.

    The last "Score: n" wins, with or without "/5" or "out of 5". A number outside 0–5, out of another maximum, or none
    at all is unparsable. In an answer that was cut (`complete` False) the score's line must have ended before the cut;
    otherwise, and where another score was begun, the answer is truncated.

    Example:
        >>> parse_score("Good. Score: 2\\nNo, better. Score: 4", complete=True)
        ('parsed', 4.0)
        >>> parse_score("Score: 45", complete=True)
        ('unparsable', None)
    """
    markers = list(_MARKER.finditer(text))
    matches = [match for marker in markers if (match := _VALUE.match(text, marker.end()))]
    if not complete:
        scored_last = bool(matches) and matches[-1].start() == markers[-1].end()
        if not scored_last or "\n" not in text[matches[-1].end() :]:
            return "truncated", None
    if not matches:
        return "unparsable", None
    value, maximum = float(matches[-1]["value"]), matches[-1]["of"]
    if not 0 <= value <= MAX_SCORE or (maximum is not None and int(maximum) != MAX_SCORE):
        return "unparsable", None
    return "parsed", value


async def _constrained(
    requests: Sequence[GenerationRequest], reasons: Sequence[Generation], generate: Generate
) -> list[Generation]:
    """Append a score line, decoded among the digits 0–5, to every reasoning. What did not fit stays as it is."""
    fitting = [index for index, reason in enumerate(reasons) if reason.finish_reason != "prompt_too_long"]
    opened = {index: reasons[index].text.removesuffix(SCORE_LINE.strip()).rstrip() for index in fitting}
    scored = await generate(
        [
            replace(
                requests[index],
                assistant_prefix=f"{opened[index]}\n{SCORE_LINE}",
                stop=(),
                max_tokens=1,
                choices=tuple(str(score) for score in range(MAX_SCORE + 1)),
                constrain_to_choices=True,
            )
            for index in fitting
        ]
    )
    answers = list(reasons)
    for index, score in zip(fitting, scored, strict=True):
        if score.finish_reason == "prompt_too_long":
            answers[index] = score
        else:
            answers[index] = replace(
                reasons[index], text=f"{opened[index]}\n{SCORE_LINE}{score.text}", finish_reason="stop"
            )
    return answers


def _additive_judgment(rollout: Rollout, vote: int, answer: Generation) -> Judgment:
    if answer.finish_reason == "prompt_too_long":
        return scored(rollout, vote=vote, status="truncated", score=None)
    status, score = parse_score(answer.text, complete=answer.finish_reason == "stop")
    return scored(rollout, vote=vote, status=status, score=score, answer=answer)
