"""Judgments of judging prompts whose verdict is decoded among its forms, for models that seldom keep to them."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar, Literal, TypeAlias

from ...orchestrator.data.records import Generation, GenerationRequest, JudgingForm, Prompt, Rollout, Shard
from ...orchestrator.data.seeds import sample_seeds
from ...orchestrator.fields import PositiveInt
from ...orchestrator.parts.counts import Count
from ...orchestrator.parts.generation import SampledGeneration
from ...orchestrator.parts.registry import part
from ...orchestrator.parts.sampling import SamplingConfig
from ...orchestrator.parts.wording import counted
from ...orchestrator.protocols import Generate, Sample
from ..judges import additive
from ..judges.last_line import with_last_line
from .plain import sample_plain
from .requests import by_policy, request_for, rollout_of

Slot: TypeAlias = tuple[Prompt, int]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """How a verdict stands in a judgment: `opening`, one of `choices` (each a single token) and `closing`, on the last
    line or on the first.

    Example:
        Verdict(opening="[[", choices=("A", "B"), closing="]]", first=False)
    """

    opening: str
    choices: tuple[str, ...]
    closing: str
    first: bool


# Of the forms whose verdicts are single tokens. PandaLM's tie is none, and is never right.
VERDICTS: dict[JudgingForm, Verdict] = {
    "additive": Verdict(
        opening=additive.FORM.opening, choices=additive.FORM.digits, closing=additive.FORM.closing, first=False
    ),
    "pandalm": Verdict(opening="", choices=("1", "2"), closing="", first=True),
    "mt_bench": Verdict(opening="[[", choices=("A", "B", "C"), closing="]]", first=False),
}


@part("generation")
class JudgmentsGeneration(SampledGeneration):
    """`samples_per_prompt` judgments of a judging prompt, with a verdict (or score) that is decoded among its forms:
    for models that seldom keep to them. For judge=truth.

    Other prompts get plain responses. The sampler's log-probs are not kept: the verdict is not its own next word.
    """

    kind: Literal["judgments"]
    samples_per_prompt: PositiveInt
    sampling: SamplingConfig
    truncated: Literal["keep", "drop"]
    version: ClassVar[int] = 2  # one grammar of score lines and verdicts, in which no thought is read
    keeps_logps: ClassVar[bool] = False

    def samples_each(self) -> int:
        return self.samples_per_prompt

    def decoded(self) -> Mapping[JudgingForm, tuple[str, tuple[str, ...]]]:
        return {form: (verdict.opening, verdict.choices) for form, verdict in VERDICTS.items()}

    def responses(self) -> Count:
        return Count(number=self.samples_per_prompt)

    def what(self) -> str:
        return f"{counted(self.samples_per_prompt, 'judgment')} to each prompt, with a verdict decoded among its forms"

    def build(self, seed: int) -> Sample:
        return by_policy(partial(sample_judgments, config=self), seed)


async def sample_judgments(
    shard: Shard,
    policy_version: int,
    generate: Generate,
    *,
    config: JudgmentsGeneration,
    seed_parts: tuple[int | str, ...],
) -> list[Rollout]:
    """`samples_per_prompt` judgments of every judging prompt. Reasons and verdict are sampled, the verdict among its
    forms; the whole is then encoded as a given response is, and has no log-probs of the sampler's.

    A judgment that does not fit the model is "interim", with the remark `too_long`. Prompts that are no judging
    prompts, as held-out ones are, get plain responses.
    """
    plain = replace(shard, prompts=tuple(prompt for prompt in shard.prompts if prompt.truth is None))
    samples = range(config.samples_per_prompt)
    rollouts = await sample_plain(
        plain, policy_version, generate, sampling=config.sampling, samples=samples, seed_parts=seed_parts
    )
    for form, verdict in VERDICTS.items():
        asked = [prompt for prompt in shard.prompts if prompt.truth and prompt.truth.form == form]
        slots = [(prompt, sample) for prompt in asked for sample in samples]
        requests = [
            request_for(prompt.messages, config.sampling, seed)
            for prompt in asked
            for seed in sample_seeds(*seed_parts, prompt.id, samples=samples)
        ]
        judge = _verdict_first if verdict.first else _verdict_last
        rollouts += await _encoded(slots, requests, await judge(requests, verdict, generate), policy_version, generate)
    return rollouts


async def _verdict_last(
    requests: Sequence[GenerationRequest], verdict: Verdict, generate: Generate
) -> list[Generation]:
    """Reasons that end where the model begins the verdict or stops by itself, and a line with the verdict."""
    reasons = [replace(request, stop=(*request.stop, verdict.opening.strip())) for request in requests]
    return await with_last_line(
        reasons,
        await generate(reasons),
        generate,
        opening=verdict.opening,
        choices=verdict.choices,
        closing=verdict.closing,
    )


async def _verdict_first(
    requests: Sequence[GenerationRequest], verdict: Verdict, generate: Generate
) -> list[Generation]:
    """A line with the verdict, and what the model writes after it."""
    asked = [
        replace(request, assistant_prefix=verdict.opening, max_tokens=1, stop=(), choices=verdict.choices,
                constrain_to_choices=True)
        for request in requests
    ]  # fmt: skip
    verdicts = await generate(asked)
    opened = [f"{verdict.opening}{answer.text}{verdict.closing}\n" for answer in verdicts]
    rest = await generate(
        [replace(request, assistant_prefix=text) for request, text in zip(requests, opened, strict=True)]
    )
    return [
        answer if answer.finish_reason == "prompt_too_long" else replace(answer, text=f"{text}{answer.text}")
        for text, answer in zip(opened, rest, strict=True)
    ]


async def _encoded(
    slots: Sequence[Slot],
    requests: Sequence[GenerationRequest],
    judgments: Sequence[Generation],
    policy_version: int,
    generate: Generate,
) -> list[Rollout]:
    """The judgments as answers to the judging prompts, with the tokens that they are trained on. One that was cut has
    no end of turn."""
    whole = await generate(
        [
            replace(request, response=judgment.text, response_ended=judgment.finish_reason != "length")
            for request, judgment in zip(requests, judgments, strict=True)
        ]
    )
    rollouts = []
    for (prompt, sample), request, judgment, encoded in zip(slots, requests, judgments, whole, strict=True):
        if "prompt_too_long" in (judgment.finish_reason, encoded.finish_reason):
            cut = replace(encoded, token_ids=(), text=judgment.text, finish_reason="length")
            rollout = rollout_of(prompt, sample, "interim", request, cut, cut.prompt_token_ids, policy_version)
            rollouts.append(replace(rollout, remark="too_long"))
            continue
        if judgment.finish_reason == "length":
            encoded = replace(encoded, finish_reason="length")
        rollouts.append(rollout_of(prompt, sample, "plain", request, encoded, encoded.prompt_token_ids, policy_version))
    return rollouts
