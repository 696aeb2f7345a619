"""Judgments judged: which of several judgments of one response is the better one, and how good each is among them.

The prompts are judging prompts and the responses to them judgments. Every two judgments are compared both ways round;
pairing sees what the comparisons come to (`judgments_by_strength`), the ledger keeps the comparisons themselves.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import permutations
from typing import ClassVar, Literal

import numpy as np

from ...orchestrator.data.records import (
    Generation,
    GenerationRequest,
    JudgingForm,
    Judgment,
    Message,
    Prompt,
    Rollout,
    Shard,
)
from ...orchestrator.data.seeds import derive_seed
from ...orchestrator.parts.counts import AT_MOST, Count
from ...orchestrator.parts.judge import JudgeContext, JudgePart
from ...orchestrator.parts.registry import Place, part
from ...orchestrator.parts.sampling import SamplingConfig
from ...orchestrator.protocols import Encoder, Generate, Judge
from ..evaluation.ranking import bradley_terry
from ..generation.judgments import VERDICTS
from ..generation.requests import request_for
from .additive import FORM
from .last_line import with_last_line
from .pairwise import read_verdict
from .rendering import DISCLAIMER, render_prompt, render_response
from .score_line import read_score
from .single_tokens import check_last_line
from .thought import words_of
from .verdicts import SCORE_DECIMALS, by_prompt, compared, scored, summed_up


@part("judge")
class MetaJudge(JudgePart):
    """The policy as judge of judgments: of every two to a judging prompt, in words and in both orders, which is better
    (Meta-Rewarding, arXiv 2407.19594). A judgment's score is its strength by what it won (Bradley-Terry)."""

    kind: Literal["meta"]
    sampling: SamplingConfig
    constrain_last_line: bool  # decode the letter after "[[" among A, B and C only
    version: ClassVar[int] = 2  # one grammar of score lines and verdicts, in which no thought is read
    of_responses: ClassVar[bool] = False
    of_form: ClassVar[JudgingForm | None] = "additive"

    def check_needs(self, at: Place, encoder: Encoder) -> None:
        """The verdict's letters are single tokens where they are decoded."""
        if self.constrain_last_line:
            check_last_line(at, encoder, VERDICT.opening, VERDICT.choices)

    def samplings(self) -> Mapping[str, SamplingConfig]:
        return {"sampling": self.sampling}

    def constrained(self) -> bool:
        return self.constrain_last_line

    def judgments_of(self, responses: Count) -> Count:
        """Every two that can be read in both orders; what cannot be read is said once."""
        number = responses.number
        return Count(number=max(number, number * (number - 1)), bound=AT_MOST)

    def conclude(self, judgments: Sequence[Judgment]) -> list[Judgment]:
        """One a judgment that was compared, with its strength."""
        return [said for of_prompt in by_prompt(judgments) for said in judgments_by_strength(of_prompt)]

    def sentence(self) -> str:
        return (
            "The policy, in words, on which of two judgments is better, every two both ways round: how strong each is "
            "by what it won."
        )

    def build(self, context: JudgeContext) -> Judge:
        return partial(judge_meta, config=self, seed_parts=context.seed_parts)


_TASK = (
    "Two judges, A and B, were given the same task: to judge a response by a rubric and to give it a score. The task, "
    "with the response that they judged, stands between the prompt's tags; what each of them wrote stands between tags "
    "of its own.\n"
)
_QUESTION = (
    "Which judgment is the better one? First award points by the rubric yourself. Then look at each judgment: are its "
    "reasons true of the response, does it go through all of the rubric, does its score follow from its reasons and "
    "fit the response? Order and length mean nothing. Explain in a few sentences. Then end with one last line, the "
    "verdict in double brackets: [[A]] if A judged better, [[B]] if B did, [[C]] if neither is better."
)
VERDICT = VERDICTS["mt_bench"]


async def judge_meta(
    shard: Shard,
    rollouts: Sequence[Rollout],
    generate: Generate,
    *,
    config: MetaJudge,
    seed_parts: tuple[int | str, ...],
) -> list[Judgment]:
    """The meta-judge of Meta-Rewarding, arXiv 2407.19594: of every two judgments to a prompt, and in both orders, which
    is the better one. Vote 0 shows the first sampled first, vote 1 the other.

    A judgment whose score cannot be read is compared with none: it gets a judgment that says so. What answers a prompt
    that is no judging prompt, as held-out ones are, gets none.
    """
    parts = (*seed_parts, shard.round)
    unread: list[Judgment] = []
    slots: list[tuple[Prompt, int, int]] = []
    requests: list[GenerationRequest] = []
    for prompt, written in _judgments_written(shard, rollouts):
        readable: list[Rollout] = []
        for rollout in written:
            status, _ = read_score(rollout.text, FORM, complete=not rollout.truncated)
            if status == "parsed":
                readable.append(rollout)
            else:
                unread.append(scored(rollout, vote=0, status=status, score=None))
        for first, second in permutations(readable, 2):
            slots.append((prompt, first.sample, second.sample))
            seed = derive_seed(*parts, prompt.id, "meta", first.sample, second.sample)
            requests.append(_question(prompt, first, second, seed, config))
    answers = await generate(requests)
    if config.constrain_last_line:
        answers = await with_last_line(
            requests,
            answers,
            generate,
            opening=VERDICT.opening,
            choices=VERDICT.choices,
            closing=VERDICT.closing,
        )
    return unread + [_verdict(*slot, answer) for slot, answer in zip(slots, answers, strict=True)]


def meta_case(prompt: Prompt, first: Rollout, second: Rollout) -> tuple[Message, ...]:
    """The meta-judge's prompt about two judgments, A and B, that `prompt` asked for. What is the same for all comes
    first."""
    case = render_prompt(prompt) + render_response(first, "A") + render_response(second, "B")
    return (Message(role="user", content=f"{_TASK}{DISCLAIMER}{case}\n{_QUESTION}"),)


def battle_matrix(judgments: Sequence[Judgment]) -> tuple[list[int], np.ndarray]:
    """The samples that one prompt's comparisons are of, and how much each won against each: arXiv 2407.19594.

    B_ij = ω₁·[i wins where it is shown first] + ω₂·[i wins where it is shown second], with ω₁ = w₂/(w₁ + w₂) and
    ω₂ = w₁/(w₁ + w₂), where w_k counts all wins of what was shown in place k. So a win in the place that the judge
    prefers counts less, and one that always names the same place says nothing at all. Ties and failed parses are no
    wins. The weights' formula is not verified, nor whether the paper counts wins over one prompt, as here, or over all.
    """
    wins = [
        (judgment.sample, judgment.other, judgment.vote % 2 == 0, judgment.probability > 0.5)
        for judgment in judgments
        if judgment.other is not None and judgment.probability is not None and judgment.probability != 0.5
    ]
    compared_ones = {(one.sample, one.other) for one in judgments if one.other is not None and one.status == "parsed"}
    samples = sorted({sample for pair in compared_ones for sample in pair if sample is not None})
    place = {sample: index for index, sample in enumerate(samples)}
    by_first = sum(sample_first == sample_won for _, _, sample_first, sample_won in wins)
    weights = {True: (len(wins) - by_first) / max(1, len(wins)), False: by_first / max(1, len(wins))}
    matrix = np.zeros((len(samples), len(samples)))
    for sample, other, sample_first, sample_won in wins:
        winner, loser = (sample, other) if sample_won else (other, sample)
        matrix[place[winner], place[loser]] += weights[sample_first == sample_won]
    return samples, matrix


def judgments_by_strength(judgments: Sequence[Judgment]) -> list[Judgment]:
    """One judgment a compared sample of one prompt, with its strength as score: the Bradley-Terry strengths ε that
    maximise Σ B_ij·log σ(ε_i − ε_j), less a small ridge, since an unbeaten one's would be infinite. Their mean is 0."""
    samples, wins = battle_matrix(judgments)
    if not samples:
        return []
    strengths = bradley_terry(wins)
    return [
        summed_up(judgments, sample, round(float(strength), SCORE_DECIMALS))
        for sample, strength in zip(samples, strengths, strict=True)
    ]


def _judgments_written(shard: Shard, rollouts: Sequence[Rollout]) -> list[tuple[Prompt, list[Rollout]]]:
    written: dict[str, list[Rollout]] = {prompt.id: [] for prompt in shard.prompts}
    for rollout in sorted(rollouts, key=lambda rollout: rollout.sample):
        written[rollout.prompt_id].append(rollout)
    return [(prompt, written[prompt.id]) for prompt in shard.prompts if prompt.truth is not None]


def _question(prompt: Prompt, first: Rollout, second: Rollout, seed: int, config: MetaJudge) -> GenerationRequest:
    stop = (VERDICT.opening,) if config.constrain_last_line else ()
    return request_for(meta_case(prompt, first, second), config.sampling, seed, stop=stop)


def _verdict(prompt: Prompt, first: int, second: int, answer: Generation) -> Judgment:
    sample, other, vote = (first, second, 0) if first < second else (second, first, 1)
    if answer.finish_reason == "prompt_too_long":
        return compared(prompt.id, sample, other, vote=vote, status="truncated", probability=None)
    status, wins_first = read_verdict(words_of(answer), "mt_bench", complete=answer.finish_reason == "stop")
    probability = wins_first if wins_first is None or vote == 0 else 1.0 - wins_first
    return compared(prompt.id, sample, other, vote=vote, status=status, probability=probability, answer=answer)
