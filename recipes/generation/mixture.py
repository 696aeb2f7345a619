"""Several proposals to a prompt, and a response that is made of them: Self-MoA, Self-MoA-Seq, MoA, AFT."""

import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import field, replace
from functools import partial
from itertools import pairwise
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field
from pydantic.dataclasses import dataclass

from ...orchestrator.data.records import Message, Prompt, Rollout, Shard
from ...orchestrator.data.seeds import derive_seed
from ...orchestrator.errors import ConfigError
from ...orchestrator.fields import STRICT, PositiveInt, Text
from ...orchestrator.parts.counts import AT_MOST, Count
from ...orchestrator.parts.generation import SampledGeneration, Way
from ...orchestrator.parts.registry import Place, part
from ...orchestrator.parts.sampling import POLICY, SamplingConfig
from ...orchestrator.parts.wording import counted
from ...orchestrator.protocols import Generate, Sample
from ..judges.rendering import render_response
from .conversations import with_system
from .plain import sample_plain
from .requests import request_for, rollout_of, seed_parts_of
from .samplers import from_samplers, samples_of


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class MixtureWindow:
    """Self-MoA-Seq's sliding window: how many references are shown at a time, and how many of these places the best
    response so far takes."""

    size: PositiveInt
    carried: PositiveInt


@part("generation")
class MixtureGeneration(SampledGeneration):
    """Proposals to a prompt, of the policy or of several `samplers`, and one response that the policy makes of them
    (Self-MoA, arXiv 2502.00674; MoA, arXiv 2406.04692; AFT, arXiv 2501.11877). For pairing=demonstrations.

    The policy alone aggregates. Every layer but the last makes `proposals` new ones of those of the layer before. What
    is learnt stands under the prompt, or under the request that shows the proposals.
    """

    kind: Literal["mixture"]
    proposals: PositiveInt  # a prompt, from each sampler
    layers: PositiveInt  # of aggregation
    window: MixtureWindow | None  # null: all proposals are shown at once
    trained_under: Literal["prompt", "aggregation"]  # the plain prompt, or the one that shows the proposals (AFT)
    instruction: Text  # what stands before the proposals in the system message
    sampling: SamplingConfig  # of proposals and responses
    truncated: Literal["keep", "drop"]
    samplers: Annotated[tuple[str, ...], Field(min_length=1)] = (POLICY,)  # who propose
    paired_by: ClassVar[str | None] = "demonstrations"
    gathers: ClassVar[bool] = True

    def check(self, at: Place) -> None:
        """A window moves on, and takes the place of layers."""
        window = self.window
        if window is None:
            return
        if window.carried >= window.size:
            raise ConfigError(
                f"{at / 'window'}.carried={window.carried} leaves no place in {at / 'window'}.size={window.size} for "
                "a new proposal",
                "make the window larger",
            )
        if self.layers > 1:
            raise ConfigError(
                f"{at / 'window'} with {at / 'layers'}={self.layers}: a window takes the place of layers",
                f"set {at / 'layers'}=1, or {at / 'window'}=null",
            )

    def sampled_by(self) -> tuple[str, ...]:
        """Those who propose, and the policy in any case: it makes the response."""
        return self.samplers if POLICY in self.samplers else (*self.samplers, POLICY)

    def rewrites_prompts(self) -> bool:
        return self.trained_under == "aggregation"

    def responses(self) -> Count:
        return Count(number=1, bound=AT_MOST)

    def texts(self) -> Count:
        first, later = self.proposals * len(self.samplers), self.proposals * (self.layers - 1)
        responses = len(windows(first, self.window.size, self.window.carried)) if self.window else 1
        return Count(number=first + later + responses, bound=AT_MOST)

    def ways(self, messages: tuple[Message, ...]) -> list[Way]:
        return [(aggregation_prompt(messages, [], self.instruction), "")]

    def what(self) -> str:
        where = "the plain prompt" if self.trained_under == "prompt" else "the prompt that shows the proposals"
        return (
            f"{counted(self.proposals, 'proposal')} to each prompt{from_samplers(self.samplers)}, and a response that "
            f"the policy makes of them, trained under {where}"
        )

    def build(self, seed: int) -> Sample:
        async def sample(
            shard: Shard, policy_version: int, generate: Generate, sampler: str, others: Sequence[Rollout]
        ) -> list[Rollout]:
            seeds = seed_parts_of(seed, shard)
            if sampler != POLICY:
                return await sample_proposals(
                    shard, policy_version, generate, config=self, seed_parts=seeds, sampler=sampler
                )
            return await sample_mixture(shard, policy_version, generate, config=self, seed_parts=seeds, others=others)

        return sample


@dataclasses.dataclass(kw_only=True, slots=True)
class Table:
    """A prompt, all texts that were made for it (in the order of their samples), and which of them count now.

    Example:
        Table(prompt=prompt)
    """

    prompt: Prompt
    made: list[Rollout] = field(default_factory=list)
    current: list[int] = field(default_factory=list)  # samples that are to be read
    response: int | None = None  # the sample that is the response so far

    def add(self, rollouts: Sequence[Rollout]) -> list[int]:
        """Take new texts; the samples of those that can be read. The others get their remark."""
        new = [replace(rollout, variant="interim", remark=_unreadable(rollout)) for rollout in rollouts]
        self.made += new
        return [rollout.sample for rollout in new if not rollout.remark]

    def leave_out(self, samples: Sequence[int]) -> None:
        """Note that these texts do not fit the model together."""
        for sample in samples:
            self.made[sample] = replace(self.made[sample], remark="too_long")

    def rollouts(self) -> list[Rollout]:
        """Everything that was made, the response as what it is."""
        return [
            replace(rollout, variant="positive", remark="") if rollout.sample == self.response else rollout
            for rollout in self.made
        ]


# Asks for one text a reading: of the samples of a table, as a further sample of it. None where they do not fit.
Reading: TypeAlias = tuple[Table, list[int], int]
Aggregate: TypeAlias = Callable[[Sequence[Reading]], Awaitable[list[Rollout | None]]]


async def sample_mixture(
    shard: Shard,
    policy_version: int,
    generate: Generate,
    *,
    config: MixtureGeneration,
    seed_parts: tuple[int | str, ...],
    others: Sequence[Rollout] = (),
) -> list[Rollout]:
    """The policy's own `proposals`, if it is among the samplers, and one response to every prompt that it makes of
    these and of the `others`': Self-MoA, arXiv 2502.00674, with its own alone; MoA, 2406.04692."""
    own = await sample_proposals(shard, policy_version, generate, config=config, seed_parts=seed_parts, sampler=POLICY)
    proposed = sorted([*others, *own], key=lambda rollout: rollout.sample)
    return await aggregate_proposals(shard, proposed, policy_version, generate, config=config, seed_parts=seed_parts)


async def sample_proposals(
    shard: Shard,
    policy_version: int,
    generate: Generate,
    *,
    config: MixtureGeneration,
    seed_parts: tuple[int | str, ...],
    sampler: str,
) -> list[Rollout]:
    """One sampler's proposals, numbered after those of the samplers before it."""
    proposed = await sample_plain(
        shard,
        policy_version,
        generate,
        sampling=config.sampling,
        samples=samples_of(sampler, config.samplers, config.proposals),
        seed_parts=seed_parts,
        sampler=sampler,
    )
    return [replace(rollout, variant="interim") for rollout in proposed]


async def aggregate_proposals(
    shard: Shard,
    proposed: Sequence[Rollout],
    policy_version: int,
    generate: Generate,
    *,
    config: MixtureGeneration,
    seed_parts: tuple[int | str, ...],
) -> list[Rollout]:
    """The proposals, whichever models made them, and one response to every prompt that is made of its own.

    Every layer but the last makes `proposals` new ones of the last ones (MoA, arXiv 2406.04692). With a window they
    are read a few at a time, beside the response that came of those before (Self-MoA-Seq). A proposal that is truncated
    or empty is left out, with a remark, as those are which do not fit the model together; a prompt that is left with
    none gets no response.

    The response is "positive"; proposals are "interim". Samples are numbered as they are made, the given ones from 0.
    """
    ask = partial(_aggregate, policy_version=policy_version, generate=generate, config=config, seed_parts=seed_parts)
    tables = [Table(prompt=prompt) for prompt in shard.prompts]
    for table in tables:
        table.current = table.add([rollout for rollout in proposed if rollout.prompt_id == table.prompt.id])
    for _ in range(config.layers - 1):
        await _layer(tables, config.proposals, ask)
    if config.window is None:
        await _layer(tables, 1, ask)
    else:
        await _slide(tables, config.window, ask)
    return [rollout for table in tables for rollout in table.rollouts()]


def aggregation_prompt(
    messages: Sequence[Message], proposals: Sequence[Rollout], instruction: str
) -> tuple[Message, ...]:
    """The conversation, with `instruction` and the numbered proposals in its system message.

    Proposals are data: they stand between tags that are escaped inside them.
    """
    shown = "".join(render_response(proposal, str(number)) for number, proposal in enumerate(proposals, start=1))
    return with_system(messages, f"{instruction}\n{shown}")


def windows(count: int, size: int, carried: int) -> list[tuple[int, int]]:
    """The slices of `count` proposals that are read one after the other: the first fills the window; in later ones
    `carried` of its places are the response's that came of those before.

    Example:
        >>> windows(13, 6, 3)
        [(0, 6), (6, 9), (9, 12), (12, 13)]
    """
    return list(pairwise([0, *range(size, count, size - carried), count])) if count else []


async def _layer(tables: Sequence[Table], texts: int, ask: Aggregate) -> None:
    """As many new texts of all current ones, which they take the place of; the last is the response so far."""
    readings = [
        (table, table.current, len(table.made) + number) for table in tables if table.current for number in range(texts)
    ]
    answers = await ask(readings)
    for table in tables:
        new = [answer for (read, _, _), answer in zip(readings, answers, strict=True) if read is table and answer]
        if not new:
            table.leave_out(table.current)
        table.current = table.add(new)
        table.response = new[-1].sample if new else None


async def _slide(tables: Sequence[Table], window: MixtureWindow, ask: Aggregate) -> None:
    """One response of all current texts, a window of them at a time: a readable one is carried into the next."""
    slices = []
    for table in tables:
        slices.append([table.current[a:b] for a, b in windows(len(table.current), window.size, window.carried)])
        table.current = []  # from here on what is carried
    for step in range(max(map(len, slices))):
        readings = [
            (table, table.current * window.carried + unread[step], len(table.made))
            for table, unread in zip(tables, slices, strict=True)
            if step < len(unread)
        ]
        for (table, samples, _), answer in zip(readings, await ask(readings), strict=True):
            if answer is None:
                table.leave_out([sample for sample in samples if sample not in table.current])
                continue
            readable = table.add([answer])
            if readable or not table.current:
                table.current, table.response = readable, answer.sample


async def _aggregate(
    readings: Sequence[Reading],
    *,
    policy_version: int,
    generate: Generate,
    config: MixtureGeneration,
    seed_parts: tuple[int | str, ...],
) -> list[Rollout | None]:
    requests = []
    for table, samples, sample in readings:
        shown = [table.made[read] for read in samples]
        messages = aggregation_prompt(table.prompt.messages, shown, config.instruction)
        seed = derive_seed(*seed_parts, table.prompt.id, sample)
        requests.append(request_for(messages, config.sampling, seed, plain_messages=table.prompt.messages))
    answers: list[Rollout | None] = []
    for (table, _, sample), request, answer in zip(readings, requests, await generate(requests), strict=True):
        if answer.finish_reason == "prompt_too_long":
            answers.append(None)
            continue
        trained_under = answer.plain_token_ids if config.trained_under == "prompt" else answer.prompt_token_ids
        answers.append(rollout_of(table.prompt, sample, "interim", request, answer, trained_under, policy_version))
    return answers


def _unreadable(rollout: Rollout) -> str:
    if rollout.truncated:
        return "truncated"
    return "" if rollout.text.strip() else "empty"
