"""One round's update: pairs in shard order, epoch after epoch, into the learner."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .config import Config
from .errors import RunError
from .ledger import round_name
from .metrics import LearningStats, RoundStats
from .policies import policy_of, reference_of
from .protocols import Learner, Observer
from .records import PairingOutcome, PolicyRef, Shard, TrainingExample
from .shards import RoundShards
from .stages import Stages
from .stream import map_in_order
from .training_examples import training_examples


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
    assert before is not None and stages.rollouts.policy_version == before.version
    update = _Update.begin(round, before, reference, config=config, stages=stages, learner=learner)
    stats = RoundStats()
    for epoch in range(epochs):
        stream = _fresh(shards, stages, stats, config) if epoch == 0 else _committed(shards, stages)
        async for shard, outcomes in stream:
            examples = training_examples(
                outcomes,
                objective,
                first=shard.index * config.run.prompts_per_shard,
                num_prompts=config.run.prompts_per_round,
                epoch=epoch,
                epochs=epochs,
            )
            await update.learn(examples, flush=shard.index == len(shards) - 1)
            tokens = sum(len(s.token_ids) for example in examples for s in example.sequences)
            done = epoch * len(shards) + shard.index + 1
            stages.observer.stage(round, "learn", done, epochs * len(shards), tokens)
            stages.observer.pairs(round, outcomes)
    if not update.steps:
        raise RunError(
            f"round {round} gave no pair from {stats.prompts} prompts: {dict(stats.dropped)}",
            f"read {ledger.path(round_name(round), 'judgments')}: a judge that only ties teaches nothing",
        )
    with stages.clock.active("save"):
        policy = await learner.save(round)
        average = None
        if objective.reference.decay is not None:
            assert reference is not None
            average = await learner.save_average(round, reference, objective.reference.decay)
    summary: dict[str, Any] = {
        "policy": asdict(policy),
        "reference": asdict(reference) if reference else None,
        "average": asdict(average) if average else None,
        "data": stats.summary(),
        "learn": LearningStats.of(update.steps).summary(),
        "seconds": dict(stages.clock.seconds),
    }
    ledger.write_json(summary, round_name(round), "learn.json")
    ledger.remove_checkpoint(round)
    await stages.rollouts.wake()
    return policy


@dataclass(kw_only=True, slots=True)
class _Update:
    """A round's update on its way. What a checkpoint holds of it is not learnt again."""

    round: int
    stages: Stages
    learner: Learner
    every: int | None  # optimizer steps between checkpoints
    steps: list[dict[str, float]]
    held: int  # examples, of those still to come, that the checkpoint holds
    loading: asyncio.Future[None]  # the learner reads its models while the first shards are sampled

    @classmethod
    def begin(
        cls,
        round: int,
        policy: PolicyRef,
        reference: PolicyRef | None,
        *,
        config: Config,
        stages: Stages,
        learner: Learner,
    ) -> "_Update":
        """From the round's newest checkpoint, or from its start."""
        steps = stages.ledger.checkpointed_steps(round)
        frozen = None if config.objective.reference.logps == "rollout" else reference
        if steps:
            path = stages.ledger.checkpoint_path(round, len(steps))
            loading = _restore(learner, policy, frozen, path, stages.observer)
        else:
            loading = learner.begin(policy, frozen)
        return cls(
            round=round,
            stages=stages,
            learner=learner,
            every=config.learner.checkpoint_every_steps,
            steps=steps,
            held=int(sum(step["pairs"] for step in steps)),
            loading=asyncio.ensure_future(loading),
        )

    async def learn(self, examples: Sequence[TrainingExample], *, flush: bool) -> None:
        """Hand the learner the next examples; record the steps that came of them, and keep a checkpoint."""
        stages = self.stages
        await self.loading
        fresh, self.held = examples[self.held :], max(0, self.held - len(examples))
        with stages.clock.active("learn"):
            new = await self.learner.update(fresh, flush=flush)
        for step in new:
            stages.record({"round": self.round, "stage": "learn", **step})
        before, self.steps = len(self.steps), [*self.steps, *new]
        if self.every and len(self.steps) // self.every > before // self.every:
            with stages.clock.active("save"):
                await self.learner.checkpoint(stages.ledger.checkpoint_path(self.round, len(self.steps)))
                stages.ledger.write_checkpoint(self.round, self.steps)


async def _restore(
    learner: Learner, policy: PolicyRef, reference: PolicyRef | None, path: str, observer: Observer
) -> None:
    observer.note(await learner.restore(policy, reference, path))


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
