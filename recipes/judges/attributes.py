"""The policy as judge of several attributes of a response, each by a number from 0 to 4."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Annotated, ClassVar, Literal

from pydantic import Field

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
from ...orchestrator.errors import ConfigError
from ...orchestrator.fields import Frozen, PositiveInt
from ...orchestrator.parts.counts import Count
from ...orchestrator.parts.judge import JudgeContext, JudgePart
from ...orchestrator.parts.registry import Place, part
from ...orchestrator.parts.sampling import SamplingConfig
from ...orchestrator.parts.wording import listed
from ...orchestrator.protocols import Encoder, Generate, Judge
from ..generation.requests import request_for
from .expected_score import expected_score
from .rendering import DISCLAIMER, render_prompt, render_response
from .score_line import ScoreForm, read_score
from .thought import words_of
from .verdicts import SCORE_DECIMALS, scored


@part("judge")
class AttributesJudge(JudgePart):
    """The policy, on HelpSteer's attributes, each from 0 to 4 (arXiv 2311.09528): in one answer, or by next-token
    probabilities one at a time. The score is their sum by `weights` (HelpSteer2's; verbosity's minus is not
    verified)."""

    kind: Literal["attributes"]
    weights: Annotated[Frozen[float], Field(min_length=1)]  # of the attributes in the score, by name and in order
    read: Literal["words", "expected"]  # lines of an answer, or next-token probabilities, an attribute at a time
    votes: PositiveInt  # answers in words
    sampling: SamplingConfig  # of answers in words
    version: ClassVar[int] = 2  # one grammar of score lines and verdicts, in which no thought is read

    def check(self, at: Place) -> None:
        """Names can be written before values, and probabilities are asked for once."""
        for name in self.weights:
            if re.fullmatch("[a-z]+", name) is None:
                raise ConfigError(
                    f"{at}.weights: {name!r} is no name that a judge could write before its value",
                    "name attributes by single words in small letters, such as helpfulness",
                )
        if self.read == "expected" and self.votes > 1:
            raise ConfigError(
                f"{at}.read=expected with {at}.votes={self.votes}: probabilities are the same every time",
                f"set {at}.votes=1, or {at}.read=words",
            )

    def check_needs(self, at: Place, encoder: Encoder) -> None:
        """Where probabilities are read, digits are single tokens."""
        if self.read == "words":
            return
        try:
            for name in self.weights:
                encoder.choice_ids(opening(name), DIGITS)
        except ConfigError as error:
            raise ConfigError(f"{at}.read=expected: {error.what}", f"set {at}.read=words") from error

    def samplings(self) -> Mapping[str, SamplingConfig]:
        return {"sampling": self.sampling}

    def attributes(self) -> tuple[str, ...]:
        return tuple(self.weights)

    def judgments_of(self, responses: Count) -> Count:
        return responses.times(self.votes) if self.read == "words" else responses

    def sentence(self) -> str:
        how = "in words" if self.read == "words" else "by the mean of 0–4 under its next-token probabilities"
        return f"The policy, {how}, on the {listed(self.weights)} of a response; the score is their weighted sum."

    def build(self, context: JudgeContext) -> Judge:
        return partial(judge_attributes, config=self, seed_parts=context.seed_parts)


LOWEST, HIGHEST = 0, 4
DIGITS = tuple(str(value) for value in range(LOWEST, HIGHEST + 1))

# Of HelpSteer's and SteerLM's names, in our words; any other name speaks for itself.
_MEANINGS = {
    "quality": "how good the response is, taken as a whole",
    "toxicity": "how rude, hurtful or threatening it is",
    "humor": "how funny it is",
    "creativity": "how original it is",
    "helpfulness": "how much it helps the user with what was asked",
    "correctness": "whether it has all that matters, and no mistakes",
    "coherence": "whether it is clear and agrees with itself",
    "complexity": "how much expert knowledge it would take to write it",
    "verbosity": "how much it says for what was asked; 4 is the longest",
}


async def judge_attributes(
    shard: Shard,
    rollouts: Sequence[Rollout],
    generate: Generate,
    *,
    config: AttributesJudge,
    seed_parts: tuple[int | str, ...],
) -> list[Judgment]:
    """Judgments with the values of all attributes, and their weighted sum as score: HelpSteer's attributes, arXiv
    2311.09528, rated by the policy itself (the papers: people, and a regression model).

    With `read` "words" one answer has a line for every attribute, `votes` times; a judgment of which one cannot be read
    has no value at all. With "expected" each attribute is asked by itself, and its value is the mean of 0–4 under the
    next-token probabilities; `choice_mass` is the mean of what these had together.
    """
    prompts = {prompt.id: prompt for prompt in shard.prompts}
    if config.read == "expected":
        return await _expected(rollouts, prompts, generate, config.weights)
    slots = [(rollout, vote) for rollout in rollouts for vote in range(config.votes)]
    requests = [
        request_for(
            _case(prompts[rollout.prompt_id], rollout, _ask_all(config.weights)),
            config.sampling,
            derive_seed(*seed_parts, shard.round, rollout.prompt_id, rollout.sample, vote),
        )
        for rollout, vote in slots
    ]
    return [
        _in_words(rollout, vote, answer, config.weights)
        for (rollout, vote), answer in zip(slots, await generate(requests), strict=True)
    ]


def read_attributes(
    text: str, names: Sequence[str], *, complete: bool
) -> tuple[JudgmentStatus, tuple[float, ...] | None]:
    """The values that a judge said of several attributes: of each the last score line of its name decides, and all have
    to be read. In the order of `names`.

    All or nothing: where one is missing, out of 0–4, or not told before the answer was cut, there are none.

    Example:
        >>> read_attributes("helpfulness: 3\\nverbosity: 1", ("helpfulness", "verbosity"), complete=True)
        ('parsed', (3.0, 1.0))
        >>> read_attributes("helpfulness: 3", ("helpfulness", "verbosity"), complete=True)
        ('unparsable', None)
    """
    forms = [ScoreForm(label=name, lowest=LOWEST, highest=HIGHEST, others=tuple(names)) for name in names]
    found = [read_score(text, form, complete=complete) for form in forms]
    values = tuple(value for _, value in found if value is not None)
    if len(values) == len(names):
        return "parsed", values
    cut = any(status == "truncated" for status, _ in found)
    return ("truncated" if cut else "unparsable"), None


def weighted(values: Sequence[float], weights: Mapping[str, float]) -> float:
    """Σ weight·value: HelpSteer2's scalarisation, arXiv 2406.08673, with the weights of the configuration.

    Example:
        >>> weighted((4.0, 2.0), {"helpfulness": 0.65, "verbosity": -0.4})
        1.8
    """
    return round(sum(weight * value for weight, value in zip(weights.values(), values, strict=True)), SCORE_DECIMALS)


async def _expected(
    rollouts: Sequence[Rollout], prompts: Mapping[str, Prompt], generate: Generate, weights: Mapping[str, float]
) -> list[Judgment]:
    requests = [
        GenerationRequest(
            messages=_case(prompts[rollout.prompt_id], rollout, _ask_one(name)),
            seed=0,
            temperature=0.0,
            top_p=1.0,
            max_tokens=1,
            assistant_prefix=opening(name),
            choices=DIGITS,
        )
        for rollout in rollouts
        for name in weights
    ]
    answers = iter(await generate(requests))
    return [_of_answers(rollout, [next(answers) for _ in weights], weights) for rollout in rollouts]


def opening(name: str) -> str:
    """What the judge's turn opens with where an attribute is asked by itself."""
    return f"{name}: "


def _of_answers(rollout: Rollout, answers: Sequence[Generation], weights: Mapping[str, float]) -> Judgment:
    if any(answer.finish_reason == "prompt_too_long" for answer in answers):
        return scored(rollout, vote=0, status="truncated", score=None)
    digits = [float(digit) for digit in DIGITS]
    read = [expected_score(answer.choice_logprobs, digits) for answer in answers]
    masses = [mass for _, mass in read if mass is not None]
    values = tuple(value for value, _ in read if value is not None)
    if len(values) < len(read):
        mass = 0.0 if len(masses) == len(read) else None
        return scored(rollout, vote=0, status="unparsable", score=None, choice_mass=mass)
    return scored(
        rollout,
        vote=0,
        status="parsed",
        score=weighted(values, weights),
        choice_mass=fmean(masses),
        attributes=values,
    )


def _in_words(rollout: Rollout, vote: int, answer: Generation, weights: Mapping[str, float]) -> Judgment:
    if answer.finish_reason == "prompt_too_long":
        return scored(rollout, vote=vote, status="truncated", score=None)
    status, values = read_attributes(words_of(answer), tuple(weights), complete=answer.finish_reason == "stop")
    if values is None:
        return scored(rollout, vote=vote, status=status, score=None, answer=answer)
    score = weighted(values, weights)
    return scored(rollout, vote=vote, status=status, score=score, answer=answer, attributes=values)


def _case(prompt: Prompt, rollout: Rollout, question: str) -> tuple[Message, ...]:
    """What is the same for all questions comes first, and is cached once."""
    case = render_prompt(prompt) + render_response(rollout)
    return (Message(role="user", content=f"Rate an assistant's response.\n{DISCLAIMER}{case}\n{question}"),)


def _meaning(name: str) -> str:
    return f"{name} ({_MEANINGS[name]})" if name in _MEANINGS else name


def _ask_one(name: str) -> str:
    return f"Rate its {_meaning(name)} from {LOWEST} (least) to {HIGHEST} (most). Answer with the number only."


def _ask_all(names: Sequence[str] | Mapping[str, float]) -> str:
    asked = "".join(f"- {_meaning(name)}\n" for name in names)
    lines = "\n".join(f"{name}: <number>" for name in names)
    return (
        f"Rate each of these from {LOWEST} (least) to {HIGHEST} (most):\n{asked}"
        f"Answer with exactly these lines:\n{lines}"
    )
