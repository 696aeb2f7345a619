"""Simulated annotators: several judges of two responses, of whom one answers for each prompt, and labels that are wrong
now and then. Made for studies of learning from noisy human-like labels, not for evaluation.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field

from ...orchestrator.data.records import Judgment, Rollout, Shard
from ...orchestrator.data.seeds import derive_seed
from ...orchestrator.errors import ConfigError
from ...orchestrator.fields import BelowHalf, Frozen, FrozenMapping
from ...orchestrator.parts.counts import AT_MOST, Count
from ...orchestrator.parts.judge import JudgeContext, JudgePart
from ...orchestrator.parts.registry import AnyKind, Place, part
from ...orchestrator.parts.wording import counted
from ...orchestrator.protocols import Generate, Judge


@part("judge")
class AnnotatorsJudge(JudgePart):
    """One of several comparing judges, drawn by seed for each prompt; `flipped_fraction` of the labels are turned round
    for training (inspired by AlpacaFarm, arXiv 2305.14387). A probability, for pairing=soft."""

    kind: Literal["annotators"]
    members: Annotated[
        Frozen[Annotated[JudgePart, AnyKind("judge", where=attrgetter("annotates"))]], Field(min_length=2)
    ]
    flipped_fraction: BelowHalf  # of the training prompts, drawn by seed
    version: ClassVar[int] = 2  # one grammar of score lines and verdicts, in which no thought is read
    compares: ClassVar[bool] = True
    only_in_runs: ClassVar[tuple[str, str] | None] = (
        "a member drawn by lot answers for each prompt, to give labels to learn from",
        "let one member judge by itself, such as judge=ab",
    )

    def check(self, at: Place) -> None:
        """Members compare."""
        for name, member in self.members.items():
            if not member.asked().compares:
                raise ConfigError(
                    f"{at}.members.{name} scores single responses, but annotators compare two",
                    f"set {at}.members.{name}.judge to one of kind pairwise",
                )

    def inner(self) -> Mapping[str, JudgePart]:
        return {f"members.{name}": member for name, member in self.members.items()}

    def both_ways(self) -> Self:
        return replace(self, members=FrozenMapping({name: member.both_ways() for name, member in self.members.items()}))

    def judgments_of(self, responses: Count) -> Count:
        """Those of one of them, by lot."""
        numbers = {member.judgments_of(responses).number for member in self.members.values()}
        return Count(number=max(numbers), bound=responses.bound if len(numbers) == 1 else AT_MOST)

    def labels(self, judgments: Sequence[Judgment], seed: int) -> list[Judgment]:
        return flipped(judgments, fraction=self.flipped_fraction, seed=seed)

    def sentence(self) -> str:
        return (
            f"One of {counted(len(self.members), 'annotator')} that the policy plays, drawn by seed for each prompt, "
            f"on which of two responses is better; {self.flipped_fraction:.0%} of the labels are turned round for "
            "training."
        )

    def build(self, context: JudgeContext) -> Judge:
        built = {name: member.build(context.of(name)) for name, member in self.members.items()}
        members = {name: member for name, member in built.items() if member is not None}
        return partial(judge_annotators, members=members, seed_parts=context.seed_parts)


async def judge_annotators(
    shard: Shard,
    rollouts: Sequence[Rollout],
    generate: Generate,
    *,
    members: Mapping[str, Judge],
    seed_parts: tuple[int | str, ...],
) -> list[Judgment]:
    """The judgments of one member a prompt, drawn by seed: inspired by AlpacaFarm, arXiv 2305.14387, whose annotators
    are several prompts to several models. They say what they say: labels are flipped later (see `flipped`)."""
    names = list(members)
    asked: dict[str, list[int]] = {name: [] for name in names}
    for index, prompt in enumerate(shard.prompts):
        asked[names[derive_seed(*seed_parts, shard.round, prompt.id, "annotator") % len(names)]].append(index)

    async def answers(name: str) -> list[Judgment]:
        part = replace(shard, prompts=tuple(shard.prompts[index] for index in asked[name]))
        own = {prompt.id for prompt in part.prompts}
        return await members[name](part, [one for one in rollouts if one.prompt_id in own], generate)

    judged = await asyncio.gather(*(answers(name) for name in names if asked[name]))
    return [judgment for judgments in judged for judgment in judgments]


def flipped(judgments: Sequence[Judgment], *, fraction: float, seed: int) -> list[Judgment]:
    """One prompt's comparisons, the other way round for a `fraction` of prompts drawn by `seed`: AlpacaFarm's label
    noise (arXiv 2305.14387; its quarter is not verified). What was not parsed stays so."""
    if not judgments or derive_seed(seed, "flip", judgments[0].prompt_id) >= fraction * 2**31:
        return list(judgments)
    return [
        judgment if judgment.probability is None else replace(judgment, probability=1.0 - judgment.probability)
        for judgment in judgments
    ]
