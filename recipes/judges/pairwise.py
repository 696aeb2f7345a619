"""The policy as judge of two responses, in words: a verdict in the form of one of four papers.

Only what the judge wrote after the judging prompt is read. The prompts are our own; a paper's are its form of verdict.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import replace
from functools import partial
from typing import ClassVar, Literal, Self, TypeAlias

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
from ...orchestrator.parts.counts import Count
from ...orchestrator.parts.judge import JudgeContext, JudgePart
from ...orchestrator.parts.registry import part
from ...orchestrator.parts.sampling import SamplingConfig
from ...orchestrator.parts.wording import counted
from ...orchestrator.protocols import Generate, Judge
from ..generation.requests import request_for
from .comparisons import comparisons_of, shown_first, told_order, two_responses
from .rendering import DISCLAIMER, render_prompt, render_response
from .score_line import ends_in_connector
from .thought import spoken, words_of
from .verdicts import compared

VerdictFormat: TypeAlias = Literal["pandalm", "mt_bench", "wildbench", "arena"]


@part("judge")
class PairwiseJudge(JudgePart):
    """The policy, in words, on which of two responses is better, in the form of PandaLM, MT-bench, WildBench or
    Arena-Hard v2. A probability: 1, ½ or 0, and ¾ or ¼ for “slightly” where a form has it."""

    kind: Literal["pairwise"]
    format: VerdictFormat
    orders: Literal["one", "both"]  # whether each vote asks a second time, the other way round
    votes: PositiveInt
    sampling: SamplingConfig
    version: ClassVar[int] = 2  # one grammar of score lines and verdicts, in which no thought is read
    compares: ClassVar[bool] = True
    annotates: ClassVar[bool] = True
    text_alone: ClassVar[bool] = True

    def samplings(self) -> Mapping[str, SamplingConfig]:
        return {"sampling": self.sampling}

    def asked_once(self) -> bool:
        return self.orders == "one"

    def both_ways(self) -> Self:
        return replace(self, orders="both")

    def graded(self) -> bool:
        return self.format in ("wildbench", "arena") and self.votes == 1

    def judgments_of(self, responses: Count) -> Count:
        return comparisons_of(responses, self.orders).times(self.votes)

    def sentence(self) -> str:
        return (
            f"The policy, in words, on which of two responses is better, in the form of {self.format}: "
            f"{counted(self.votes, 'vote')}, {told_order(self.orders)}."
        )

    def build(self, context: JudgeContext) -> Judge:
        return partial(judge_pairwise, config=self, seed_parts=context.seed_parts)


@plain_dataclass(frozen=True, kw_only=True, slots=True)
class _Form:
    """The names of the two responses, what is asked about them, and what each verdict says: the probability that the
    response shown first is the better one."""

    options: tuple[str, str]
    question: str
    verdicts: Mapping[str, float]


_EXPLAINED = (
    "Compare them as the user would: correctness, relevance, depth, clarity. Order, length and names mean nothing. "
    "First explain your judgment in a few sentences. Then end with one last line, the verdict in double brackets: "
)
_FORMS: Mapping[VerdictFormat, _Form] = {
    "pandalm": _Form(
        options=("1", "2"),
        question=(
            "Which response is better? The first line of your answer is the verdict and nothing else: 1, 2 or Tie. "
            "From the second line on give your reason, and after that a reference response of your own."
        ),
        verdicts={"1": 1.0, "TIE": 0.5, "2": 0.0},
    ),
    "mt_bench": _Form(
        options=("A", "B"),
        question=_EXPLAINED + "[[A]] if A is better, [[B]] if B is better, [[C]] for a tie.",
        verdicts={"A": 1.0, "C": 0.5, "B": 0.0},
    ),
    "wildbench": _Form(
        options=("A", "B"),
        question=_EXPLAINED
        + "[[A++]] if A is much better, [[A+]] if A is slightly better, [[A=B]] if they are about the same, [[B+]] if "
        "B is slightly better, [[B++]] if B is much better.",
        verdicts={"A++": 1.0, "A+": 0.75, "A=B": 0.5, "B+": 0.25, "B++": 0.0},
    ),
    "arena": _Form(
        options=("A", "B"),
        question="Answer the prompt yourself first, and then judge the two responses against that. "
        + _EXPLAINED
        + "[[A>>B]] if A is much better, [[A>B]] if A is slightly better, [[A=B]] if they are about the same, [[B>A]] "
        "if B is slightly better, [[B>>A]] if B is much better.",
        verdicts={"A>>B": 1.0, "A>B": 0.75, "A=B": 0.5, "B>A": 0.25, "B>>A": 0.0},
    ),
}
_TAG = re.compile(r"\[\[([^\[\]\n]{1,20})\]\]")
_OPENED = "[["


async def judge_pairwise(
    shard: Shard,
    rollouts: Sequence[Rollout],
    generate: Generate,
    *,
    config: PairwiseJudge,
    seed_parts: tuple[int | str, ...],
) -> list[Judgment]:
    """Judgments of every prompt's two responses (samples 0 and 1): the probability that sample 0 is the better one.

    The forms are PandaLM's (arXiv 2306.05087), MT-bench's (2306.05685), WildBench's (2406.04770, its JSON replaced by a
    tag) and Arena-Hard v2's. A verdict of two grades keeps the grade: 1 and 0 are much better, 3/4 and 1/4 slightly.
    With orders "both" each of the `votes` asks twice. Even votes show sample 0 first, odd ones sample 1.
    """
    parts = (*seed_parts, shard.round)
    slots: list[tuple[Prompt, int]] = []
    requests = []
    for prompt, both in two_responses(shard, rollouts):
        for vote in range(config.votes):
            for first in shown_first(config.orders, (*parts, vote), prompt):
                slots.append((prompt, 2 * vote + first))
                seed = derive_seed(*parts, prompt.id, "compare", first, vote)
                requests.append(_question(prompt, both[first], both[1 - first], seed, config))
    answers = await generate(requests)
    return [_verdict(prompt, vote, answer, config) for (prompt, vote), answer in zip(slots, answers, strict=True)]


def read_verdict(text: str, verdict_format: VerdictFormat, *, complete: bool) -> tuple[JudgmentStatus, float | None]:
    """The verdict that a judge said, as the probability that the response shown first is the better one: the first line
    of PandaLM's form, the last double brackets of the others.

    Only what was said is read, no thought (see `thought`). PandaLM's verdict is the first line, and anything else on
    that is unparsable (the official code counts it as a tie). Of the others the last tag counts, also one that was only
    begun, and is unparsable if it is no verdict, or if only "or", "to", "and", a comma or a dash stands between it and
    the one before. In an answer that was cut (`complete` False) the verdict's line must have ended before the cut;
    otherwise, and where another tag was begun, it is truncated.

    Example:
        >>> read_verdict("Tie\\nBoth are right.", "pandalm", complete=True)
        ('parsed', 0.5)
        >>> read_verdict("[[A>B]]? No: [[B>>A]]", "arena", complete=True)
        ('parsed', 0.0)
    """
    said = spoken(text)
    found, finished = _first_line(said.text) if verdict_format == "pandalm" else _last_tag(said.text)
    if not complete and (said.in_thought or not finished):
        return "truncated", None
    probability = None if said.in_thought else _FORMS[verdict_format].verdicts.get(found.upper())
    return ("unparsable", None) if probability is None else ("parsed", probability)


def _first_line(text: str) -> tuple[str, bool]:
    """The first line that is not blank, and whether it has ended."""
    verdict, ended, _ = text.lstrip().partition("\n")
    return verdict.strip(), bool(ended)


def _last_tag(text: str) -> tuple[str, bool]:
    """What stands in the last double brackets, and whether their line has ended. Nothing of brackets that are not
    closed, and of those that are one of several verdicts."""
    before, _, rest = text.rpartition(_OPENED)
    tag = _TAG.match(_OPENED + rest)
    if tag is None:
        return "", False
    several = _OPENED in before.rpartition("\n")[2] and ends_in_connector(before)
    return "" if several else tag[1].strip(), "\n" in rest


def pairwise_case(
    prompt: Prompt, first: Rollout, second: Rollout, verdict_format: VerdictFormat
) -> tuple[Message, ...]:
    """The judging prompt of two responses, in the order they are shown. What is the same for all cases comes first, and
    is cached once; both orders share the prompt too."""
    form = _FORMS[verdict_format]
    one, other = form.options
    task = f"Compare two responses to the user, {one} and {other}.\n"
    case = render_prompt(prompt) + render_response(first, one) + render_response(second, other)
    return (Message(role="user", content=f"{task}{DISCLAIMER}{case}\n{form.question}"),)


def _question(prompt: Prompt, first: Rollout, second: Rollout, seed: int, config: PairwiseJudge) -> GenerationRequest:
    return request_for(pairwise_case(prompt, first, second, config.format), config.sampling, seed)


def _verdict(prompt: Prompt, vote: int, answer: Generation, config: PairwiseJudge) -> Judgment:
    if answer.finish_reason == "prompt_too_long":
        return compared(prompt.id, 0, 1, vote=vote, status="truncated", probability=None)
    status, probability = read_verdict(words_of(answer), config.format, complete=answer.finish_reason == "stop")
    if probability is not None and vote % 2 == 1:
        probability = 1.0 - probability
    return compared(prompt.id, 0, 1, vote=vote, status=status, probability=probability, answer=answer)
