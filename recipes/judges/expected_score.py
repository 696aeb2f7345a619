"""The policy as judge, by what it would say next: the mean of the scores under its next-token probabilities."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ...orchestrator.data.records import Generation, GenerationRequest, Judgment, Message, Prompt, Rollout, Shard
from ...orchestrator.errors import ConfigError
from ...orchestrator.parts.judge import JudgeContext, JudgePart
from ...orchestrator.parts.registry import Place, part
from ...orchestrator.protocols import Encoder, Generate, Judge
from .rendering import DISCLAIMER, render_prompt, render_response
from .rubric import MAX_SCORE, rubric_case
from .single_tokens import check_choices
from .verdicts import SCORE_DECIMALS, scored


@part("judge")
class ExpectedScoreJudge(JudgePart):
    """The policy, asked for a score: Σ s·p(s) over its next-token probabilities of the scores, renormalised (as ALMA,
    arXiv 2412.04305). It also gives how much probability the scores had together."""

    kind: Literal["expected_score"]
    scores: Annotated[tuple[str, ...], Field(min_length=2)]
    assistant_prefix: str
    joins_panels: ClassVar[bool] = True
    expects_scores: ClassVar[bool] = True

    def check(self, at: Place) -> None:
        """Scores are whole numbers."""
        for score in self.scores:
            if not score.isascii() or not score.isdecimal():
                raise ConfigError(f"{at}.scores: {score!r} is no whole number", "list numbers, such as 0 to 5")

    def check_needs(self, at: Place, encoder: Encoder) -> None:
        """Each score is a single token."""
        check_choices(at, encoder, self.assistant_prefix, self.scores)

    def score_points(self) -> tuple[float, ...]:
        return tuple(sorted({float(score) for score in self.scores}))

    def sentence(self) -> str:
        return (
            f"The policy, asked for a score from {self.scores[0]} to {self.scores[-1]}: the mean of the scores under "
            "its next-token probabilities."
        )

    def build(self, context: JudgeContext) -> Judge:
        return partial(judge_expected_score, config=self)


RUBRIC_SCORES = tuple(map(str, range(MAX_SCORE + 1)))
_ASK_SCORE = "How many points, from {lowest} to {highest}, does the response get? Answer with the number only."
_SCALE = "Judge how well the response answers the user, from {lowest} (useless) to {highest} (as good as can be).\n"


async def judge_expected_score(
    shard: Shard, rollouts: Sequence[Rollout], generate: Generate, *, config: ExpectedScoreJudge
) -> list[Judgment]:
    """One judgment a rollout: Σ s·p(s) over the next-token probabilities of the scores, renormalised (as ALMA,
    arXiv 2412.04305). `choice_mass` keeps what the scores had together before renormalisation."""
    prompts = {prompt.id: prompt for prompt in shard.prompts}
    requests = [
        GenerationRequest(
            messages=expected_score_case(prompts[rollout.prompt_id], rollout, config.scores),
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


def expected_score_case(prompt: Prompt, rollout: Rollout, scores: Sequence[str]) -> tuple[Message, ...]:
    """The judging prompt of one response: by the additive rubric where the scores are its 0 to 5, else by a scale."""
    lowest, highest = min(scores, key=int), max(scores, key=int)
    question = _ASK_SCORE.format(lowest=lowest, highest=highest)
    if tuple(sorted(scores, key=int)) == RUBRIC_SCORES:
        return rubric_case(prompt, rollout, question)
    scale = _SCALE.format(lowest=lowest, highest=highest)
    case = render_prompt(prompt) + render_response(rollout)
    return (Message(role="user", content=f"{scale}{DISCLAIMER}{case}\n{question}"),)


def expected_score(logprobs: Sequence[float], values: Sequence[float]) -> tuple[float | None, float | None]:
    """(Σ s·p(s) / Σ p(s), Σ p(s)) from the log-probs of the scores `values`, of which some may be −∞.

    (None, 0) where all are: nothing can be said. (None, None) where one is NaN or +∞: it is no log-prob, and the others
    beside it mean nothing.

    Example:
        >>> expected_score([math.log(0.1), math.log(0.3)], [0.0, 5.0])
        (3.75, 0.4)
    """
    if any(math.isnan(logprob) or logprob == math.inf for logprob in logprobs):
        return None, None
    peak = max(logprobs)
    if peak == -math.inf:
        return None, 0.0
    weights = [math.exp(logprob - peak) for logprob in logprobs]
    total = sum(weights)
    score = sum(weight * value for weight, value in zip(weights, values, strict=True)) / total
    return round(score, SCORE_DECIMALS), round(total * math.exp(peak), 6)


def _expected_judgment(rollout: Rollout, generation: Generation, values: Sequence[float]) -> Judgment:
    if generation.finish_reason == "prompt_too_long":
        return scored(rollout, vote=0, status="truncated", score=None)
    score, mass = expected_score(generation.choice_logprobs, values)
    status = "unparsable" if score is None else "parsed"
    return scored(rollout, vote=0, status=status, score=score, choice_mass=mass)
