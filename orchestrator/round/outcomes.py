"""A round's pairing outcomes as the learner takes them: in shard order, after the phase's filter."""

from collections.abc import AsyncIterator, Sequence
from typing import TypeAlias

import numpy as np

from ..config.schema import Config
from ..data.filtering import Decision, filtered
from ..data.records import PairingOutcome, Shard
from ..ledger.layout import PAIRS, SELECTED
from ..measure.metrics import RoundStats
from ..prompts.shards import RoundShards
from .stages import Stages
from .stream import map_in_order

OfShard: TypeAlias = tuple[Shard, Sequence[PairingOutcome]]


async def fresh_outcomes(
    shards: RoundShards, stages: Stages, stats: RoundStats, config: Config
) -> AsyncIterator[OfShard]:
    """Outcomes as they come; after the round's last shard only where learner and rollout engines share devices, or a
    filter compares the whole round."""
    async for shard, outcomes in _selected(shards, stages, stats, config.cluster.shards_in_flight):
        stats.count(outcomes)
        if not config.cluster.colocated:
            yield shard, outcomes
    if config.cluster.colocated:
        await stages.rollouts.sleep()
        async for item in committed_outcomes(shards, stages):
            yield item


async def committed_outcomes(shards: RoundShards, stages: Stages) -> AsyncIterator[OfShard]:
    """The same once more, from the ledger."""
    stage = PAIRS if stages.phase.filter is None else SELECTED
    for shard in shards:
        yield shard, stages.read(stage, shard)


async def _selected(shards: RoundShards, stages: Stages, stats: RoundStats, in_flight: int) -> AsyncIterator[OfShard]:
    filter, total = stages.phase.filter, len(shards)
    measured: list[np.ndarray] = []  # of a filter that waits for the whole round
    async for result in map_in_order(lambda shard: stages.run_shard(shard, total), shards, limit=in_flight):
        stats.add(result.shard, result.rollouts, result.judgments)
        if filter is None:
            yield result.shard, result.outcomes
            continue
        rows = filter.measure(result.outcomes, result.judgments)
        if filter.whole_round:
            measured.append(rows)
        else:
            yield result.shard, await _select(result.shard, total, stages, filter.decide(rows), 0)
    if filter is None or not filter.whole_round:
        return
    decision, first = filter.decide(np.concatenate(measured)), 0
    stats.limits = dict(decision.limits)
    for shard, rows in zip(shards, measured, strict=True):
        yield shard, await _select(shard, total, stages, decision, first)
        first += len(rows)


async def _select(shard: Shard, total: int, stages: Stages, decision: Decision, first: int) -> Sequence[PairingOutcome]:
    """Commit what a decision leaves of a shard's outcomes."""

    async def compute() -> list[PairingOutcome]:
        return filtered(stages.read(PAIRS, shard), decision, first)

    return await stages.committed(SELECTED, shard, total, compute)
