"""The policy as validator of what it generated: the probability that it says yes to its own answer."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal

from ...orchestrator.data.records import Generation, GenerationRequest, Judgment, Message, Prompt, Rollout, Shard
from ...orchestrator.parts.judge import JudgeContext, JudgePart
from ...orchestrator.parts.registry import Place, part
from ...orchestrator.protocols import Encoder, Generate, Judge
from .expected_score import expected_score
from .rendering import DISCLAIMER, render_prompt, render_response
from .single_tokens import check_choices
from .verdicts import scored


@part("judge")
class ValidatorJudge(JudgePart):
    """The policy as validator of its own responses: the probability of yes against no, and whether generator and
    validator agree (inspired by GV-consistency, arXiv 2310.01846)."""

    kind: Literal["validator"]
    answers: tuple[str, str]  # yes and no, each a single token after the prefix
    assistant_prefix: str
    validates: ClassVar[bool] = True

    def check_needs(self, at: Place, encoder: Encoder) -> None:
        """Yes and no are single tokens."""
        check_choices(at, encoder, self.assistant_prefix, self.answers)

    def sentence(self) -> str:
        return "The policy as validator of its own responses, by the probability of yes against no."

    def build(self, context: JudgeContext) -> Judge:
        return partial(judge_validator, config=self)


_TASK = "Check whether a response is right.\n"


async def judge_validator(
    shard: Shard, rollouts: Sequence[Rollout], generate: Generate, *, config: ValidatorJudge
) -> list[Judgment]:
    """One judgment a rollout: p(yes) / (p(yes) + p(no)) over the next-token probabilities of the two answers. Inspired
    by GV-consistency, arXiv 2310.01846: generator and validator agree where yes is the more probable one. The paper's
    validators ask task by task; its prompts are not verified.

    The validator decodes one of the two answers greedily, and its token is kept: the policy can be trained on it.
    """
    prompts = {prompt.id: prompt for prompt in shard.prompts}
    answers = await generate([_question(prompts[rollout.prompt_id], rollout, config) for rollout in rollouts])
    return [_validation(rollout, answer) for rollout, answer in zip(rollouts, answers, strict=True)]


def _question(prompt: Prompt, rollout: Rollout, config: ValidatorJudge) -> GenerationRequest:
    yes, no = config.answers
    case = render_prompt(prompt) + render_response(rollout)
    question = f"Is the response right, and does it do what the user asks? Answer with {yes} or {no} only."
    return GenerationRequest(
        messages=(Message(role="user", content=f"{_TASK}{DISCLAIMER}{case}\n{question}"),),
        seed=0,
        temperature=0.0,
        top_p=1.0,
        max_tokens=1,
        assistant_prefix=config.assistant_prefix,
        choices=config.answers,
        constrain_to_choices=True,
    )


def _validation(rollout: Rollout, answer: Generation) -> Judgment:
    if answer.finish_reason == "prompt_too_long":
        return scored(rollout, vote=0, status="truncated", score=None)
    probability, mass = expected_score(answer.choice_logprobs, (1.0, 0.0))
    if probability is None:
        return scored(rollout, vote=0, status="unparsable", score=None, choice_mass=mass)
    return scored(
        rollout,
        vote=0,
        status="parsed",
        score=probability,
        choice_mass=mass,
        answer=answer,
        agrees=probability > 0.5,
    )
