"""A shard's way through sample → judge → pair, each stage committed before the next: nothing is computed twice."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..data.records import Dropped, Judgment, PairingOutcome, Rollout, Shard
from ..errors import located
from ..ledger.layout import PAIR_STAGES, Stage, row_of, sampled_by
from ..ledger.ledger import Ledger
from ..measure.metrics import StageClock
from ..parts.sampling import POLICY
from ..prompts.shards import RoundShards
from ..protocols import Judge, Observer, Phase, Rollouts
from .again import pairs_before
from .stream import map_in_order

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardResult:
    """A shard that went through all stages."""

    shard: Shard
    rollouts: Sequence[Rollout]
    judgments: Sequence[Judgment]
    outcomes: Sequence[PairingOutcome]


@dataclass(kw_only=True, slots=True)
class Stages:
    """Runs stages over shards: a committed shard is read back, another is computed and committed."""

    ledger: Ledger
    rollouts: Rollouts
    observer: Observer
    phase: Phase = field(init=False)  # the round's
    clock: StageClock = field(default_factory=StageClock)
    done: dict[str, int] = field(default_factory=dict)

    async def committed(
        self, stage: Stage[T], shard: Shard, total: int, compute: Callable[[], Awaitable[Sequence[T]]]
    ) -> Sequence[T]:
        """The shard's records of `stage`: read back if they are committed, else computed and committed."""
        records = self.ledger.read_shard(stage.name, shard, stage.records)
        tokens = 0
        if records is None:
            self.observer.stage(shard.round, stage, self.done.get(stage.name, 0), total, 0)
            records = await self.commit(stage, shard, compute)
            tokens = sum(len(record.token_ids) for record in records if isinstance(record, Rollout))
        self.done[stage.name] = self.done.get(stage.name, 0) + 1
        self.observer.stage(shard.round, stage, self.done[stage.name], total, tokens)
        return records

    async def commit(self, stage: Stage[T], shard: Shard, compute: Callable[[], Awaitable[Sequence[T]]]) -> list[T]:
        """The shard's records of `stage`, computed and committed."""
        assert row_of(stage.name) is not None, f"{stage.name} is in no row of the stage table"
        with self.clock.active(stage.name), located(f"shard {shard.index}"):
            records = list(await compute())
        self.ledger.write_shard(stage.name, shard, stage.records, records)
        return records

    async def of_all(
        self, stage: Stage[T], shards: RoundShards, compute: Callable[[Shard], Awaitable[Sequence[T]]], in_flight: int
    ) -> list[T]:
        """The records of `stage` of every shard: read back, or computed and committed shard by shard."""

        async def of_one(shard: Shard) -> Sequence[T]:
            return await self.committed(stage, shard, len(shards), lambda: compute(shard))

        found: list[T] = []
        async for records in map_in_order(of_one, shards, limit=in_flight):
            found.extend(records)
        return found

    def read(self, stage: Stage[T], shard: Shard) -> list[T]:
        """The records of a shard that is committed."""
        records = self.ledger.read_shard(stage.name, shard, stage.records)
        assert records is not None, f"{stage.name} comes before what reads it"
        return records

    async def run_shard(self, shard: Shard, total: int) -> ShardResult:
        """Sample, judge and pair one shard."""
        phase, of_split = self.phase, PAIR_STAGES[shard.split]
        rollouts = await self._rollouts(shard, total)
        responses = [rollout for rollout in rollouts if not rollout.interim]
        judgments = await self.judged(of_split.judgments, shard, total, responses, phase.judge)

        async def pair() -> list[PairingOutcome]:
            old, votes = [], []
            if phase.again and shard.split == "train":
                first = 1 + max((rollout.sample for rollout in rollouts), default=-1)
                old, votes = pairs_before(self.ledger, shard, first)
            made = pair_shard(shard, [*rollouts, *old], [*judgments, *votes], phase)
            return made if phase.condition is None else await phase.condition(shard, made, self.rollouts.generate)

        outcomes = await self.committed(of_split.pairs, shard, total, pair)
        return ShardResult(shard=shard, rollouts=rollouts, judgments=judgments, outcomes=outcomes)

    async def _rollouts(self, shard: Shard, total: int) -> list[Rollout]:
        """All samplers' rollouts of a shard, in the samplers' order. Those of others than the policy are committed
        before its own turn comes (see `sampling`)."""
        found: dict[str, Sequence[Rollout]] = {}
        for sampler in self.phase.samplers:
            if sampler != POLICY:
                found[sampler] = self.read(sampled_by(sampler, PAIR_STAGES[shard.split].rollouts), shard)
        if POLICY in self.phase.samplers:
            others = [rollout for rollouts in found.values() for rollout in rollouts]
            found[POLICY] = await self.sampled(POLICY, shard, total, others)
        if self.phase.gathers:
            return list(found[POLICY])
        return [rollout for sampler in self.phase.samplers for rollout in found[sampler]]

    async def sampled(
        self, sampler: str, shard: Shard, total: int, others: Sequence[Rollout] = ()
    ) -> Sequence[Rollout]:
        """One sampler's rollouts of a shard, from the engines as they are loaded."""
        generate, version = self.rollouts.generate, self.rollouts.policy_version
        return await self.committed(
            sampled_by(sampler, PAIR_STAGES[shard.split].rollouts),
            shard,
            total,
            lambda: self.phase.sample(shard, version, generate, sampler, others),
        )

    async def judged(
        self, stage: Stage[Judgment], shard: Shard, total: int, rollouts: Sequence[Rollout], judge: Judge | None
    ) -> Sequence[Judgment]:
        """The shard's judgments; none where nothing is judged."""
        if judge is None:
            return []
        generate = self.rollouts.generate
        return await self.committed(stage, shard, total, lambda: judge(shard, rollouts, generate))

    def record(self, row: dict[str, Any]) -> None:
        """Append a row to metrics.jsonl and show it to the observer."""
        self.ledger.append_metrics([row])
        self.observer.metrics(row)

    def start_round(self, phase: Phase) -> None:
        self.phase, self.clock, self.done = phase, StageClock(), {}


def pair_shard(
    shard: Shard, rollouts: Sequence[Rollout], judgments: Sequence[Judgment], phase: Phase
) -> list[PairingOutcome]:
    """One outcome a prompt, in the shard's order. A prompt without any response (a held-out one, where responses are
    given) has nothing to pair."""
    outcomes = []
    for prompt in shard.prompts:
        responses = [rollout for rollout in rollouts if rollout.prompt_id == prompt.id]
        votes = [judgment for judgment in judgments if judgment.prompt_id == prompt.id]
        none = PairingOutcome(pair=None, dropped=Dropped(prompt_id=prompt.id, reason="no_response"))
        outcomes.append(phase.pair(shard, prompt, responses, votes) if responses else none)
    return outcomes
