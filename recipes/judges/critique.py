"""The policy as judge, in words to learn from: a judgment and a score, and the prompt that tells the judgment."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar, Literal

from ...orchestrator.data.records import GenerationRequest, Judgment, Message, Prompt, Rollout, Shard
from ...orchestrator.parts.judge import JudgeContext, JudgePart
from ...orchestrator.parts.registry import Place, part
from ...orchestrator.parts.sampling import SamplingConfig
from ...orchestrator.protocols import Encoder, Generate, Judge
from .reasoned import judge_in_words
from .rendering import DISCLAIMER, render_prompt, render_response
from .score_line import read_score_line, score_line
from .single_tokens import check_last_line


@part("judge")
class CritiqueJudge(JudgePart):
    """The policy, in words: what is to be mended, and a score from 1 to 10. For pairing=critiqued with objective=cut
    (CUT, arXiv 2312.14591)."""

    kind: Literal["critique"]
    sampling: SamplingConfig
    constrain_last_line: bool  # decode the digit after "Score:" among 1–9 only
    version: ClassVar[int] = 2  # one grammar of score lines and verdicts, in which no thought is read
    critiques: ClassVar[bool] = True

    def check_needs(self, at: Place, encoder: Encoder) -> None:
        """The score's digits are single tokens where they are decoded."""
        if self.constrain_last_line:
            check_last_line(at, encoder, FORM.opening, FORM.digits)

    def samplings(self) -> Mapping[str, SamplingConfig]:
        return {"sampling": self.sampling}

    def constrained(self) -> bool:
        return self.constrain_last_line

    def score_points(self) -> tuple[float, ...]:
        return tuple(map(float, range(1, 11)))

    def sentence(self) -> str:
        return "The policy, in words that are learnt from, and by a score on their last line."

    def build(self, context: JudgeContext) -> Judge:
        return partial(judge_critique, config=self, seed_parts=context.seed_parts)


FORM = score_line(1, 10)

_TASK = "Judge an assistant's response to the user.\n"
_ASK_CRITIQUE = (
    "Say in a few sentences what is wrong with the response or missing from it, and how it should be mended. If there "
    "is nothing to mend, write no judgment at all. Then end with one last line of exactly this form, where 10 is a "
    "response that could not be better:\n"
    "Score: <number from 1 to 10>"
)
_DECORATION = " \t*_#"  # what a score line may be set off with
_TOLD = "The answer that follows gets this judgment:"


async def judge_critique(
    shard: Shard,
    rollouts: Sequence[Rollout],
    generate: Generate,
    *,
    config: CritiqueJudge,
    seed_parts: tuple[int | str, ...],
) -> list[Judgment]:
    """One judgment a rollout, words and then a score from 1 to 10, for CUT (arXiv 2312.14591).

    `critiqued_prompt_token_ids` are those of the conversation with the judgment's words in it, under which the response
    is read a second time. They are empty where nothing was parsed, or the judgment has no words. The paper's judgments
    are GPT-4's or a trained judge's, its prompt another; this one asks the policy. With `constrain_last_line` the score
    is decoded among 1–9: 10 is two digits.
    """
    prompts = {prompt.id: prompt for prompt in shard.prompts}
    judgments = await judge_in_words(
        [(rollout, 0) for rollout in rollouts],
        prompts,
        generate,
        case=_case,
        form=FORM,
        sampling=config.sampling,
        constrain_last_line=config.constrain_last_line,
        seed_parts=(*seed_parts, shard.round),
    )
    worded = [index for index, judgment in enumerate(judgments) if critique_words(judgment)]
    encoded = await generate([_encoding(judgments[index], prompts) for index in worded])
    for index, generation in zip(worded, encoded, strict=True):
        judgments[index] = replace(judgments[index], critiqued_prompt_token_ids=generation.plain_token_ids)
    return judgments


def critique_words(judgment: Judgment) -> str:
    """The words that a judge said beside its score: all lines but the score's own, and what goes before it on that. No
    thought is among them. Empty where nothing was parsed."""
    if judgment.score is None:
        return ""
    said = read_score_line(judgment.text, FORM, complete=True)
    return f"{said.before.rstrip(_DECORATION)}\n{said.after}".strip()


def critiqued_messages(prompt: Prompt, words: str) -> tuple[Message, ...]:
    """The conversation in which the user says beforehand how the answer will be judged.

    Example:
        >>> user = Message(role="user", content="Name a prime.")
        >>> critiqued_messages(Prompt(id="p", messages=(user,)), "9 is none.")[-1].content
        'Name a prime.\\n\\nThe answer that follows gets this judgment:\\n9 is none.'
    """
    *before, last = prompt.messages
    return (*before, replace(last, content=f"{last.content}\n\n{_TOLD}\n{words}"))


def _case(prompt: Prompt, rollout: Rollout) -> tuple[Message, ...]:
    """What is the same for all cases comes first, and is cached once."""
    case = render_prompt(prompt) + render_response(rollout)
    return (Message(role="user", content=f"{_TASK}{DISCLAIMER}{case}\n{_ASK_CRITIQUE}"),)


def _encoding(judgment: Judgment, prompts: dict[str, Prompt]) -> GenerationRequest:
    """Asks for the token ids of the critiqued conversation; what is generated, of the shortest prompt, is not used."""
    return GenerationRequest(
        messages=(Message(role="user", content=""),),
        seed=0,
        temperature=0.0,
        top_p=1.0,
        max_tokens=1,
        plain_messages=critiqued_messages(prompts[judgment.prompt_id], critique_words(judgment)),
    )
