"""One round's update: pairs in shard order, epoch after epoch, into the learner."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from typing import Any

from .config import Config
from .errors import RunError
from .ledger import round_name
from .metrics import LearningStats, RoundStats
from .policies import policy_of, reference_of
from .protocols import Learner
from .records import PairingOutcome, PolicyRef, Shard
from .shards import RoundShards
from .stages import Stages
from .stream import map_in_order
from .training_pairs import training_pairs


async def learn_round(
    round: int, shards: RoundShards, *, config: Config, stages: Stages, learner: Learner
) -> PolicyRef:
    """Sample, judge and pair the round's shards, update the policy on the pairs, and write it.

    `learn.json` is written last: with it the round's policy exists, and a resumed run learns this round no more.

    Raises:
        RunError: no prompt gave a pair.
    """
    ledger, objective, epochs = stages.ledger, config.objective, config.learner.epochs
    before = policy_of(ledger, round - 1)
    reference = reference_of(ledger, objective.reference, round)
    from_rollouts = objective.reference.logps == "rollout"
    assert before is not None and stages.rollouts.policy_version == before.version
    # The learner reads its models while the first shards are sampled.
    loading = asyncio.ensure_future(learner.begin(before, None if from_rollouts else reference))
    stats, learned = RoundStats(), LearningStats()
    for epoch in range(epochs):
        stream = _fresh(shards, stages, stats, config) if epoch == 0 else _committed(shards, stages)
        async for shard, outcomes in stream:
            pairs = training_pairs(
                outcomes,
                first=shard.index * config.run.prompts_per_shard,
                num_prompts=config.run.prompts_per_round,
                epoch=epoch,
                epochs=epochs,
                rollout_logps=from_rollouts,
            )
            await loading
            with stages.clock.active("learn"):
                steps = await learner.update(pairs, flush=shard.index == len(shards) - 1)
            for step in steps:
                learned.add(step)
                stages.record({"round": round, "stage": "learn", **step})
            tokens = sum(len(pair.chosen_token_ids) + len(pair.rejected_token_ids) for pair in pairs)
            done = epoch * len(shards) + shard.index + 1
            stages.observer.stage(round, "learn", done, epochs * len(shards), tokens)
            stages.observer.pairs(round, outcomes)
    if not learned.steps:
        raise RunError(
            f"round {round} gave no pair from {stats.prompts} prompts: {dict(stats.dropped)}",
            f"read {ledger.path(round_name(round), 'judgments')}: a judge that only ties teaches nothing",
        )
    with stages.clock.active("save"):
        policy = await learner.save(round)
    summary: dict[str, Any] = {
        "policy": asdict(policy),
        "reference": asdict(reference) if reference else None,
        "data": stats.summary(),
        "learn": learned.summary(),
        "seconds": dict(stages.clock.seconds),
    }
    ledger.write_json(summary, round_name(round), "learn.json")
    await stages.rollouts.wake()
    return policy


async def _fresh(
    shards: RoundShards, stages: Stages, stats: RoundStats, config: Config
) -> AsyncIterator[tuple[Shard, Sequence[PairingOutcome]]]:
    """Pairs as they come; where learner and rollout engines share devices, only after the round's last shard."""
    total, colocated = len(shards), config.cluster.colocated
    async for result in map_in_order(
        lambda shard: stages.run_shard(shard, total), shards, limit=config.cluster.shards_in_flight
    ):
        stats.add(result.shard, result.rollouts, result.judgments, result.outcomes)
        if not colocated:
            yield result.shard, result.outcomes
    if colocated:
        await stages.rollouts.sleep()
        async for item in _committed(shards, stages):
            yield item


async def _committed(shards: RoundShards, stages: Stages) -> AsyncIterator[tuple[Shard, Sequence[PairingOutcome]]]:
    for shard in shards:
        outcomes = stages.ledger.read_shard("pairs", shard, PairingOutcome)
        assert outcomes is not None, "every shard is committed before it is read back"
        yield shard, outcomes
