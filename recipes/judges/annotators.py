"""Simulated annotators: several judges of two responses, of whom one answers for each prompt, and labels that are wrong
now and then. Made for studies of learning from noisy human-like labels, not for evaluation.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ...orchestrator.protocols import Generate, Judge
from ...orchestrator.records import Judgment, Rollout, Shard
from ...orchestrator.seeds import derive_seed


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
