"""The policy as judge: what it is asked, what is read from its answer, and what never is.

A judgment's score comes only from what the judge wrote (or the probabilities of what it would write) after the judging
prompt. Prompt and response stand between delimiters that are escaped inside them (see `rendering`).
"""

import math
import re
from collections.abc import Sequence
from dataclasses import replace

from ..orchestrator.judge_config import AdditiveJudge, ExpectedScoreJudge
from ..orchestrator.protocols import Generate
from ..orchestrator.records import (
    Generation,
    GenerationRequest,
    Judgment,
    JudgmentStatus,
    Message,
    Prompt,
    Rollout,
    Shard,
)
from ..orchestrator.seeds import derive_seed
from .rendering import DISCLAIMER, render_prompt, render_response

MAX_SCORE = 5
SCORE_LINE = "Score: "
# Scores of next-token probabilities are rounded here: far above the engine's repeatability (1e-7 nats), far below a
# difference that means anything. A shard judged again after a crash then gives the same pairs.
SCORE_DECIMALS = 4

_RUBRIC = """\
Judge how well the response answers the user. Award points one by one, each on top of the last:
1 point if the response is relevant and gives some information the user asked for, even if it is incomplete.
2 points if it addresses a substantial part of the request, without settling it.
3 points if it answers the basic elements of the request in a useful way.
4 points if it is written from an assistant's perspective and is direct, complete and well organised.
5 points if it is tailored to the request with expert knowledge, without anything superfluous.
A response that fails the first criterion gets 0.
"""

_ASK_SCORE = "How many points, from 0 to 5, does the response get? Answer with the number only."
_ASK_REASONED = (
    "First explain your judgment in at most 100 words. Then end with one last line of exactly this form:\n"
    "Score: <total points from 0 to 5>"
)
_MARKER = re.compile(r"(?<![A-Za-z])score[ \t*_]*:", re.IGNORECASE)
_VALUE = re.compile(
    r"[ \t*_]*(?P<value>-?\d{1,6}(?:\.\d{1,6})?)(?![.,]?\d)[ \t*_]*(?:(?:/|out of)[ \t*_]*(?P<of>\d{1,6})(?!\d))?",
    re.IGNORECASE,
)


async def judge_expected_score(
    shard: Shard, rollouts: Sequence[Rollout], generate: Generate, *, config: ExpectedScoreJudge
) -> list[Judgment]:
    """One judgment a rollout: Σ s·p(s) over the next-token probabilities of the scores, renormalised (as ALMA,
    arXiv 2412.04305). `choice_mass` keeps what the scores had together before renormalisation."""
    prompts = {prompt.id: prompt for prompt in shard.prompts}
    requests = [
        GenerationRequest(
            messages=_case(prompts[rollout.prompt_id], rollout, _ASK_SCORE),
            seed=0,
            temperature=0.0,
            top_p=1.0,
            max_tokens=1,
            assistant_prefix=config.assistant_prefix,
            choices=config.scores,
        )
        for rollout in rollouts
    ]
    values = [float(score) for score in config.scores]
    return [
        _expected_judgment(rollout, generation, values)
        for rollout, generation in zip(rollouts, await generate(requests), strict=True)
    ]


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
            messages=_case(prompts[rollout.prompt_id], rollout, _ASK_REASONED),
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


def expected_score(logprobs: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """(Σ s·p(s) / Σ p(s), Σ p(s)) from the log-probs of the scores `values`.

    Example:
        >>> expected_score([math.log(0.1), math.log(0.3)], [0.0, 5.0])
        (3.75, 0.4)
    """
    peak = max(logprobs)
    weights = [math.exp(logprob - peak) for logprob in logprobs]
    total = sum(weights)
    score = sum(weight * value for weight, value in zip(weights, values, strict=True)) / total
    return round(score, SCORE_DECIMALS), round(total * math.exp(peak), 6)


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


def _expected_judgment(rollout: Rollout, generation: Generation, values: Sequence[float]) -> Judgment:
    if generation.finish_reason == "prompt_too_long":
        return _judgment(rollout, 0, "truncated", None, None, "")
    if not any(math.isfinite(logprob) for logprob in generation.choice_logprobs):
        return _judgment(rollout, 0, "unparsable", None, 0.0, "")
    score, mass = expected_score(generation.choice_logprobs, values)
    return _judgment(rollout, 0, "parsed", score, mass, "")


def _additive_judgment(rollout: Rollout, vote: int, answer: Generation) -> Judgment:
    if answer.finish_reason == "prompt_too_long":
        return _judgment(rollout, vote, "truncated", None, None, "")
    status, score = parse_score(answer.text, complete=answer.finish_reason == "stop")
    return _judgment(rollout, vote, status, score, None, answer.text)


def _judgment(
    rollout: Rollout, vote: int, status: JudgmentStatus, score: float | None, choice_mass: float | None, text: str
) -> Judgment:
    return Judgment(
        prompt_id=rollout.prompt_id,
        sample=rollout.sample,
        vote=vote,
        status=status,
        score=score,
        choice_mass=choice_mass,
        text=text,
    )


def _case(prompt: Prompt, rollout: Rollout, question: str) -> tuple[Message, ...]:
    """The judging prompt. The rubric comes first: it is the same for all cases, and cached once."""
    case = render_prompt(prompt) + render_response(rollout)
    return (Message(role="user", content=f"{_RUBRIC}{DISCLAIMER}{case}\n{question}"),)
