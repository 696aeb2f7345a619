"""A shard's way through sample → judge → pair, each stage committed before the next: nothing is computed twice."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .again import pairs_before
from .errors import located
from .ledger import Ledger
from .metrics import StageClock
from .protocols import Judge, Observer, Phase, Rollouts
from .records import Dropped, Judgment, PairingOutcome, Rollout, Shard
from .sampling_config import POLICY, is_model_path

T = TypeVar("T")


def rollout_stage(sampler: str) -> str:
    """The stage that a sampler's rollouts are committed as."""
    if sampler == POLICY:
        return "rollouts"
    return f"rollouts-{hashlib.sha256(sampler.encode()).hexdigest()[:8] if is_model_path(sampler) else sampler}"


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
        self, stage: str, shard: Shard, total: int, cls: type[T], compute: Callable[[], Awaitable[Sequence[T]]]
    ) -> Sequence[T]:
        """The shard's records of `stage`: read back if they are committed, else computed and committed."""
        records = self.ledger.read_shard(stage, shard, cls)
        tokens = 0
        if records is None:
            self.observer.stage(shard.round, stage, self.done.get(stage, 0), total, 0)
            records = await self.commit(stage, shard, cls, compute)
            tokens = sum(len(record.token_ids) for record in records if isinstance(record, Rollout))
        self.done[stage] = self.done.get(stage, 0) + 1
        self.observer.stage(shard.round, stage, self.done[stage], total, tokens)
        return records

    async def commit(
        self, stage: str, shard: Shard, cls: type[T], compute: Callable[[], Awaitable[Sequence[T]]]
    ) -> list[T]:
        """The shard's records of `stage`, computed and committed."""
        with self.clock.active(stage), located(f"shard {shard.index}"):
            records = list(await compute())
        self.ledger.write_shard(stage, shard, cls, records)
        return records

    async def run_shard(self, shard: Shard, total: int, prefix: str = "") -> ShardResult:
        """Sample, judge and pair one shard; `prefix` keeps held-out shards apart from the round's own."""
        phase = self.phase
        rollouts = await self._rollouts(shard, total, prefix)
        responses = [rollout for rollout in rollouts if not rollout.interim]
        judgments = await self.judged(f"{prefix}judgments", shard, total, responses, phase.judge)

        async def pair() -> list[PairingOutcome]:
            old, votes = [], []
            if phase.again and shard.split == "train":
                first = 1 + max((rollout.sample for rollout in rollouts), default=-1)
                old, votes = pairs_before(self.ledger, shard, first)
            made = pair_shard(shard, [*rollouts, *old], [*judgments, *votes], phase)
            return made if phase.condition is None else await phase.condition(shard, made, self.rollouts.generate)

        outcomes = await self.committed(f"{prefix}pairs", shard, total, PairingOutcome, pair)
        return ShardResult(shard=shard, rollouts=rollouts, judgments=judgments, outcomes=outcomes)

    async def _rollouts(self, shard: Shard, total: int, prefix: str) -> list[Rollout]:
        """All samplers' rollouts of a shard, in the samplers' order. Those of others than the policy are committed
        before its own turn comes (see `sampling`)."""
        found: dict[str, Sequence[Rollout]] = {}
        for sampler in self.phase.samplers:
            if sampler != POLICY:
                committed = self.ledger.read_shard(f"{prefix}{rollout_stage(sampler)}", shard, Rollout)
                assert committed is not None, f"{sampler} samples before the policy"
                found[sampler] = committed
        if POLICY in self.phase.samplers:
            others = [rollout for rollouts in found.values() for rollout in rollouts]
            found[POLICY] = await self.sampled(POLICY, shard, total, prefix, others)
        if self.phase.gathers:
            return list(found[POLICY])
        return [rollout for sampler in self.phase.samplers for rollout in found[sampler]]

    async def sampled(
        self, sampler: str, shard: Shard, total: int, prefix: str, others: Sequence[Rollout] = ()
    ) -> Sequence[Rollout]:
        """One sampler's rollouts of a shard, from the engines as they are loaded."""
        generate, version = self.rollouts.generate, self.rollouts.policy_version
        return await self.committed(
            f"{prefix}{rollout_stage(sampler)}",
            shard,
            total,
            Rollout,
            lambda: self.phase.sample(shard, version, generate, sampler, others),
        )

    async def judged(
        self, stage: str, shard: Shard, total: int, rollouts: Sequence[Rollout], judge: Judge | None
    ) -> Sequence[Judgment]:
        """The shard's judgments; none where nothing is judged."""
        if judge is None:
            return []
        generate = self.rollouts.generate
        return await self.committed(stage, shard, total, Judgment, lambda: judge(shard, rollouts, generate))

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
