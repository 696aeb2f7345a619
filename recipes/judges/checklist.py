"""The policy as judge, in words: it writes a checklist for the prompt, then scores each response by it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar, Literal

from ...orchestrator.data.records import (
    Generation,
    GenerationRequest,
    Judgment,
    JudgmentStatus,
    Message,
    Prompt,
    Rollout,
    Shard,
)
from ...orchestrator.data.seeds import derive_seed
from ...orchestrator.fields import PositiveInt
from ...orchestrator.parts.judge import JudgeContext
from ...orchestrator.parts.registry import part
from ...orchestrator.parts.sampling import SamplingConfig
from ...orchestrator.parts.wording import counted
from ...orchestrator.protocols import Generate, Judge
from ..evaluation.wildbench import wb_score
from ..generation.requests import request_for
from .reasoned import judge_in_words
from .rendering import DISCLAIMER, render_checklist, render_prompt, render_response
from .score_line import ScoreForm, score_line
from .thought import spoken, words_of
from .verdicts import scored
from .voted import VotedJudge

FORM = score_line(1, 10)


@part("judge")
class ChecklistJudge(VotedJudge):
    """The policy writes a checklist for the prompt and scores responses by it, from 1 to 10 (WildBench, arXiv
    2406.04770). The score is (s − 5)·2, from −8 to 10."""

    kind: Literal["checklist"]
    votes: PositiveInt
    checklist: SamplingConfig  # how the checklist is written, once a prompt
    sampling: SamplingConfig
    constrain_last_line: bool  # decode the digit after "Score:" among 1–9 only
    version: ClassVar[int] = 2  # one grammar of score lines and verdicts, in which no thought is read
    form: ClassVar[ScoreForm] = FORM

    def samplings(self) -> Mapping[str, SamplingConfig]:
        return {"sampling": self.sampling, "checklist": self.checklist}

    def score_points(self) -> tuple[float, ...]:
        return tuple(map(float, range(-8, 11, 2)))  # (s − 5)·2 of 1 to 10

    def sentence(self) -> str:
        return (
            "The policy, in words, by a checklist that it writes for each prompt, from 1 to 10: the mean of "
            f"{counted(self.votes, 'vote')}."
        )

    def build(self, context: JudgeContext) -> Judge:
        return partial(judge_checklist, config=self, seed_parts=context.seed_parts)


MIN_QUESTIONS, MAX_QUESTIONS = 5, 10

_WRITE = (
    "Write a checklist for somebody who will judge answers to the prompt below: from 5 to 10 short questions, specific "
    "to this prompt, each of which a good answer lets them answer with yes. One question a line, numbered, and nothing "
    "else.\n"
)
_TASK = "Judge how well an assistant's response serves the user, with the help of a checklist for this prompt.\n"
_ASK_SCORE = (
    "Go through the checklist and note in a few words where the response is strong and where it fails. Then end with "
    "one last line of exactly this form, where 1 is a response that does not help at all, 5 one that helps with "
    "clear faults, and 10 one that could not be better:\n"
    "Score: <number from 1 to 10>"
)
_QUESTION = re.compile(r"^[ \t]*(?:\d{1,3}[.)]|[-*•])[ \t]+(\S.*)$", re.MULTILINE)


async def judge_checklist(
    shard: Shard,
    rollouts: Sequence[Rollout],
    generate: Generate,
    *,
    config: ChecklistJudge,
    seed_parts: tuple[int | str, ...],
) -> list[Judgment]:
    """`votes` judgments a rollout by a checklist that the judge writes once a prompt: WildBench, arXiv 2406.04770.

    A score s from 1 to 10 is reported as (s − 5)·2, as there: from −8 to 10. The paper's checklists are another model's
    and revised by people. A checklist that cannot be read is the status of every vote on its prompt's responses. A
    judgment's text is the checklist, then what was written by it. With `constrain_last_line` the score is decoded among
    1–9: 10 is two digits.
    """
    parts = (*seed_parts, shard.round)
    written = await generate([_checklist_request(prompt, config, parts) for prompt in shard.prompts])
    prompts = {prompt.id: prompt for prompt in shard.prompts}
    answers = dict(zip(prompts, written, strict=True))
    checklists = {name: _checklist(answer) for name, answer in answers.items()}
    readable = {name: questions for name, (status, questions) in checklists.items() if status == "parsed"}

    def case(prompt: Prompt, rollout: Rollout) -> tuple[Message, ...]:
        return _case(prompt, rollout, readable[prompt.id])

    slots = [(rollout, vote) for rollout in rollouts for vote in range(config.votes)]
    judged = [(rollout, vote) for rollout, vote in slots if rollout.prompt_id in readable]
    votes = await judge_in_words(
        judged,
        prompts,
        generate,
        case=case,
        form=FORM,
        sampling=config.sampling,
        constrain_last_line=config.constrain_last_line,
        seed_parts=parts,
    )
    reported = {(vote.prompt_id, vote.sample, vote.vote): _reported(vote, answers) for vote in votes}
    return [
        reported.get((rollout.prompt_id, rollout.sample, vote))
        or scored(
            rollout, vote=vote, status=checklists[rollout.prompt_id][0], score=None, answer=answers[rollout.prompt_id]
        )
        for rollout, vote in slots
    ]


def read_checklist(text: str, *, complete: bool) -> tuple[JudgmentStatus, tuple[str, ...]]:
    """The questions of a checklist, without their numbers: the numbered or bulleted lines that were said. Nothing of a
    thought (see `thought`).

    One that was cut is truncated; one of fewer than 5 or more than 10 is unparsable.

    Example:
        >>> read_checklist("1. Is it true?\\n2. Is it short?", complete=True)
        ('unparsable', ())
    """
    if not complete:
        return "truncated", ()
    said = spoken(text)
    questions = () if said.in_thought else tuple(question.rstrip() for question in _QUESTION.findall(said.text))
    return ("parsed", questions) if MIN_QUESTIONS <= len(questions) <= MAX_QUESTIONS else ("unparsable", ())


def _checklist_request(prompt: Prompt, config: ChecklistJudge, parts: tuple[int | str, ...]) -> GenerationRequest:
    asked = (Message(role="user", content=f"{_WRITE}{DISCLAIMER}{render_prompt(prompt)}"),)
    return request_for(asked, config.checklist, derive_seed(*parts, prompt.id, "checklist"))


def _checklist(answer: Generation) -> tuple[JudgmentStatus, tuple[str, ...]]:
    return read_checklist(words_of(answer), complete=answer.finish_reason == "stop")


def _case(prompt: Prompt, rollout: Rollout, questions: Sequence[str]) -> tuple[Message, ...]:
    """What is the same for a prompt's responses comes before them, and is cached once."""
    case = render_prompt(prompt) + render_checklist(questions) + render_response(rollout)
    return (Message(role="user", content=f"{_TASK}{DISCLAIMER}{case}\n{_ASK_SCORE}"),)


def _reported(vote: Judgment, checklists: Mapping[str, Generation]) -> Judgment:
    score = None if vote.score is None else wb_score(vote.score)
    return replace(vote, score=score, text=f"{checklists[vote.prompt_id].text}\n\n{vote.text}")
