"""The policy as judge of two responses: the probability of one option's letter against the other's.

Nothing is read from text. What is shown to the judge is escaped as in `rendering`.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field

from ...orchestrator.data.records import Generation, GenerationRequest, Judgment, Message, Prompt, Rollout, Shard
from ...orchestrator.data.seeds import derive_seed
from ...orchestrator.parts.counts import Count
from ...orchestrator.parts.judge import JudgeContext, JudgePart
from ...orchestrator.parts.registry import Place, part
from ...orchestrator.protocols import Encoder, Generate, Judge
from .comparisons import comparisons_of, shown_first, told_order, two_responses
from .expected_score import expected_score
from .rendering import DISCLAIMER, render_prompt, render_response
from .single_tokens import check_choices
from .verdicts import SCORE_DECIMALS, compared


@part("judge")
class AbJudge(JudgePart):
    """The policy, on which of two responses is better: the probabilities of the options (A) and (B), as RLAIF in RLCD's
    paper (arXiv 2307.12950). A probability, for pairing=soft.

    A prompt's instruction is drawn by seed with the index of its contrast affix: as many instructions as affixes ask of
    a pair what it was made to differ in.
    """

    kind: Literal["ab"]
    instructions: Annotated[tuple[str, ...], Field(min_length=1)]  # each completes "Which response is …?"
    orders: Literal["one", "both"]  # whether each pair is asked about a second time, the other way round
    assistant_prefix: str
    compares: ClassVar[bool] = True
    annotates: ClassVar[bool] = True

    def check_needs(self, at: Place, encoder: Encoder) -> None:
        """The options are single tokens."""
        check_choices(at, encoder, self.assistant_prefix, OPTIONS)

    def asked_once(self) -> bool:
        return self.orders == "one"

    def both_ways(self) -> Self:
        return replace(self, orders="both")

    def judgments_of(self, responses: Count) -> Count:
        return comparisons_of(responses, self.orders)

    def sentence(self) -> str:
        return (
            "The policy, on which of two responses is better: the probabilities of its answers (A) and (B), "
            f"{told_order(self.orders)}."
        )

    def build(self, context: JudgeContext) -> Judge:
        return partial(_by_sampling_seeds, config=self, seed=context.seed)


OPTIONS = ("A", "B")

_TASK = "Compare two responses to the user, (A) and (B).\n"


async def judge_ab(
    shard: Shard,
    rollouts: Sequence[Rollout],
    generate: Generate,
    *,
    config: AbJudge,
    seed_parts: tuple[int | str, ...],
) -> list[Judgment]:
    """One judgment a question on every prompt with two responses (samples 0 and 1): the probability that sample 0 is
    the better one, from the next-token probabilities of (A) and (B): the RLAIF baseline of RLCD, arXiv 2307.12950.

    `seed_parts` are those that the responses were sampled with. The instruction is then drawn as `sample_contrast`
    draws the affix pair, and with as many instructions as affixes it has the same index (the paper's RLCD-Rescore).
    A question's vote is the sample that it shows as (A): drawn by seed with orders "one", each once with "both".
    """
    slots: list[tuple[Prompt, int]] = []
    requests = []
    for prompt, both in two_responses(shard, rollouts):
        instruction = config.instructions[derive_seed(*seed_parts, prompt.id, "affix") % len(config.instructions)]
        for first in shown_first(config.orders, seed_parts, prompt):
            slots.append((prompt, first))
            requests.append(_question(prompt, both[first], both[1 - first], instruction, config))
    answers = await generate(requests)
    return [_ab_judgment(prompt, first, answer) for (prompt, first), answer in zip(slots, answers, strict=True)]


async def _by_sampling_seeds(
    shard: Shard, rollouts: Sequence[Rollout], generate: Generate, *, config: AbJudge, seed: int
) -> list[Judgment]:
    """By the seeds of generation: a prompt's instruction is drawn as its affix is."""
    return await judge_ab(shard, rollouts, generate, config=config, seed_parts=(seed, shard.split, shard.round))


def preference(logprob_a: float, logprob_b: float) -> tuple[float | None, float | None]:
    """(p(A) / (p(A) + p(B)), p(A) + p(B)) from the log-probs of the two options; None as of `expected_score`.

    Example:
        >>> preference(-1.2039728, -2.3025851)  # log 0.3, log 0.1
        (0.75, 0.4)
    """
    return expected_score((logprob_a, logprob_b), (1.0, 0.0))


def _question(prompt: Prompt, a: Rollout, b: Rollout, instruction: str, config: AbJudge) -> GenerationRequest:
    """What is the same for all cases comes first, and is cached once; both orders share the prompt too."""
    case = render_prompt(prompt) + render_response(a, OPTIONS[0]) + render_response(b, OPTIONS[1])
    question = f"Which response is {instruction}: (A) or (B)? Answer with the letter only."
    return GenerationRequest(
        messages=(Message(role="user", content=f"{_TASK}{DISCLAIMER}{case}\n{question}"),),
        seed=0,
        temperature=0.0,
        top_p=1.0,
        max_tokens=1,
        assistant_prefix=config.assistant_prefix,
        choices=OPTIONS,
    )


def _ab_judgment(prompt: Prompt, first: int, answer: Generation) -> Judgment:
    if answer.finish_reason == "prompt_too_long":
        return compared(prompt.id, 0, 1, vote=first, status="truncated", probability=None)
    probability, mass = preference(*answer.choice_logprobs)
    if probability is None:
        return compared(prompt.id, 0, 1, vote=first, status="unparsable", probability=None, choice_mass=mass)
    if first == 1:
        probability = round(1.0 - probability, SCORE_DECIMALS)
    return compared(prompt.id, 0, 1, vote=first, status="parsed", probability=probability, choice_mass=mass)
