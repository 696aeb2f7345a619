"""What judges in words share: votes of reasons that end in a score, and how that score is read.

A judgment's score comes only from what the judge wrote after the judging prompt. Prompt and response stand between
delimiters that are escaped inside them (see `rendering`).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ...orchestrator.generation_config import SamplingConfig
from ...orchestrator.protocols import Generate
from ...orchestrator.records import Generation, Judgment, JudgmentStatus, Message, Prompt, Rollout
from ...orchestrator.seeds import derive_seed
from ..generation.requests import request_for
from .last_line import with_last_line
from .verdicts import scored

Case: TypeAlias = Callable[[Prompt, Rollout], tuple[Message, ...]]  # what a response's judging prompt is
Slot: TypeAlias = tuple[Rollout, int]  # a response, and the index of the vote on it

_NUMBER = r"(?P<value>-?\d{1,6}(?:\.\d{1,6})?)"
_BLANK = r"[ \t*_]*"


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreForm:
    """How a score stands in words, and its range.

    `marker` finds what opens a score, and `value` the number after it (perhaps `of` a maximum). `opening` and `closing`
    are put around a score that is decoded as a single digit.

    Example:
        ScoreForm(marker=re.compile("Mark "), value=re.compile(r"(?P<value>\\d)(?:/(?P<of>\\d))?"), lowest=1, highest=6,
                  opening="Mark ", closing="")
    """

    marker: re.Pattern[str]
    value: re.Pattern[str]
    lowest: int
    highest: int
    opening: str
    closing: str

    @property
    def digits(self) -> tuple[str, ...]:
        """The scores that are a single digit: of 1 to 10 all but 10."""
        return tuple(str(score) for score in range(self.lowest, min(self.highest, 9) + 1))


def score_line(lowest: int, highest: int) -> ScoreForm:
    """ "Score: n", with or without "/maximum" or "out of maximum"."""
    return labelled_line("Score", lowest, highest)


def labelled_line(label: str, lowest: int, highest: int) -> ScoreForm:
    """As `score_line`, with another word for the score."""
    return ScoreForm(
        marker=re.compile(rf"(?<![A-Za-z]){re.escape(label)}{_BLANK}:", re.IGNORECASE),
        value=re.compile(
            rf"{_BLANK}{_NUMBER}(?![.,]?\d){_BLANK}(?:(?:/|out of){_BLANK}(?P<of>\d{{1,6}})(?!\d))?", re.IGNORECASE
        ),
        lowest=lowest,
        highest=highest,
        opening=f"{label}: ",
        closing="",
    )


def bracketed_rating(lowest: int, highest: int) -> ScoreForm:
    """ "[[n]]", with or without "/maximum" inside the brackets."""
    return ScoreForm(
        marker=re.compile(r"\[\["),
        value=re.compile(rf"{_BLANK}{_NUMBER}{_BLANK}(?:/{_BLANK}(?P<of>\d{{1,6}}){_BLANK})?\]\]"),
        lowest=lowest,
        highest=highest,
        opening="Rating: [[",
        closing="]]",
    )


def read_score(text: str, form: ScoreForm, *, complete: bool) -> tuple[JudgmentStatus, float | None]:
    """The score in what a judge wrote.

    The last one in its form wins. A number outside the form's range, out of another maximum, or none at all is
    unparsable. In an answer that was cut (`complete` False) the score's line must have ended before the cut; otherwise,
    and where another score was begun, the answer is truncated.

    Example:
        >>> read_score("Good. Score: 2\\nNo, better. Score: 4", score_line(0, 5), complete=True)
        ('parsed', 4.0)
        >>> read_score("Rating: [[11]]", bracketed_rating(1, 10), complete=True)
        ('unparsable', None)
    """
    markers = list(form.marker.finditer(text))
    matches = [match for marker in markers if (match := form.value.match(text, marker.end()))]
    if not complete:
        scored_last = bool(matches) and matches[-1].start() == markers[-1].end()
        if not scored_last or "\n" not in text[matches[-1].end() :]:
            return "truncated", None
    if not matches:
        return "unparsable", None
    value, maximum = float(matches[-1]["value"]), matches[-1]["of"]
    if not form.lowest <= value <= form.highest or (maximum is not None and int(maximum) != form.highest):
        return "unparsable", None
    return "parsed", value


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
    status, score = read_score(answer.text, form, complete=answer.finish_reason == "stop")
    return scored(rollout, vote=vote, status=status, score=score, answer=answer)
