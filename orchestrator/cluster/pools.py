"""The rollout engines and the learner's ranks as the driver sees them: each group one object, over Ray actors."""

import asyncio
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..config.schema import ClusterConfig
from ..data.records import Generation, GenerationRequest, PolicyRef, TokenSequence, TrainingExample, UpdateStart
from ..errors import RunError, located
from ..ledger.ledger import Ledger
from .ray import Actor, ActorDied
from .step_report import StepReport
from .weight_transfer import HostTransfer, NcclTransfer

REMEDY_OF_DEATH = "if memory ran out, lower cluster.rollout.kv_cache_gib or .max_num_seqs; then resume the run"


class RolloutPool:
    """Rollout engines that all hold the same policy.

    An engine that dies takes no request with it: its requests go to the others, which draw the same samples (seeds
    belong to requests). It is replaced at the next sync, where its replacement is verified like every engine.

    Args:
        spawn: starts engine `index` with a policy.
        policy: what the engines start with.
    """

    def __init__(self, config: ClusterConfig, spawn: Callable[[int, PolicyRef], Actor], policy: PolicyRef):
        self.config, self._spawn = config, spawn
        self.policy_version = policy.version
        self._engines: list[Actor | None] = [spawn(index, policy) for index in range(config.rollout.actors)]
        self._load = [0] * config.rollout.actors
        self._names = [engine.name for engine in self.alive]
        self._counted = [0.0] * config.rollout.actors  # busy seconds that each engine has last said
        self._of_dead = [0.0] * config.rollout.actors  # and those that the ones before it had said
        self._death: ActorDied | None = None  # the latest
        self._sleeps = config.device == "gpu" and config.colocated

    @property
    def alive(self) -> list[Actor]:
        return [engine for engine in self._engines if engine is not None]

    async def ready(self) -> None:
        """Wait until every engine has its weights loaded."""
        with located("start of the rollout engines"):
            await asyncio.gather(*(e.call("ready", timeout_s=self.config.start_timeout_s) for e in self.alive))

    async def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        if not requests:
            return []
        for _ in range(self.config.shard_attempts):
            index = self._least_loaded()
            engine = self._engines[index]
            assert engine is not None
            self._load[index] += len(requests)
            try:
                return await engine.call("generate", list(requests), self.policy_version)
            except ActorDied as error:
                self._engines[index] = None
                self._of_dead[index] += self._counted[index]
                self._counted[index] = 0.0
                self._death = error
            finally:
                self._load[index] -= len(requests)
        raise RunError(
            f"{self.config.shard_attempts} rollout engines died one after the other on the same requests; "
            f"the last: {self._death.what if self._death else ''}",
            REMEDY_OF_DEATH,
        ) from self._death

    async def score(self, sequences: Sequence[TokenSequence]) -> list[list[list[float]]]:
        return list(await asyncio.gather(*(engine.call("score", list(sequences)) for engine in self.alive)))

    async def load(self, weights: HostTransfer | NcclTransfer, policy: PolicyRef) -> None:
        """Deliver `weights` to every engine; those that died are started anew with `policy`."""
        dead = [index for index, engine in enumerate(self._engines) if engine is None]
        await weights.deliver(self.alive, policy.version)
        for index in dead:
            self._engines[index] = self._spawn(index, policy)
        if dead:
            await self.ready()
        self.policy_version = policy.version

    async def sleep(self) -> None:
        if self._sleeps:
            await asyncio.gather(*(engine.call("sleep") for engine in self.alive))

    async def wake(self) -> None:
        if self._sleeps:
            await asyncio.gather(*(engine.call("wake") for engine in self.alive))

    async def busy_seconds(self) -> dict[str, float]:
        """Of every engine and those that it replaces: never less than before. What one did after it was last asked is
        lost with it."""
        for index, engine in enumerate(self._engines):
            if engine is not None:
                self._counted[index] = await engine.call("busy_seconds")
        return {
            name: dead + counted for name, dead, counted in zip(self._names, self._of_dead, self._counted, strict=True)
        }

    def _least_loaded(self) -> int:
        alive = [index for index, engine in enumerate(self._engines) if engine is not None]
        if not alive:
            raise RunError(
                f"every rollout engine died; the last: {self._death.what if self._death else ''}", REMEDY_OF_DEATH
            ) from self._death
        return min(alive, key=lambda index: self._load[index])


class ScorerPool:
    """Actors that all hold the same models beside the policy, by name.

    Each call is one actor's. Whatever the number of actors, the same sequences are then computed side by side: equal to
    the bit on another run.
    """

    def __init__(self, actors: Sequence[Actor]):
        self._actors, self._turns = actors, itertools.cycle(actors)
        self.models: Mapping[str, PolicyRef] = {}

    async def hold(self, models: Mapping[str, PolicyRef]) -> None:
        if models != self.models:
            await asyncio.gather(*(actor.call("hold", dict(models)) for actor in self._actors))
            self.models = dict(models)

    async def score(self, name: str, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        return await self._of_sequences("score", name, sequences)

    async def logps(self, name: str, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        return await self._of_sequences("logps", name, sequences)

    async def _of_sequences(self, method: str, name: str, sequences: Sequence[TokenSequence]) -> list[Any]:
        if not sequences:
            return []
        return await next(self._turns).call(method, name, list(sequences))

    async def busy_seconds(self) -> dict[str, float]:
        return {actor.name: await actor.call("busy_seconds") for actor in self._actors}


class LearnerGroup:
    """The learner's ranks. A rank that dies ends the run: the round is learnt again from its start on resume."""

    def __init__(self, config: ClusterConfig, ranks: Sequence[Actor], ledger: Ledger):
        self.config, self._ranks, self._ledger = config, ranks, ledger
        apart = config.device == "gpu" and not config.colocated
        tensor_parallel_size = config.rollout.tensor_parallel_size
        self._nccl = NcclTransfer(ranks=ranks, tensor_parallel_size=tensor_parallel_size) if apart else None

    async def ready(self) -> None:
        """Let the ranks find each other."""
        start = self.config.start_timeout_s
        with located("start of the learner"):
            master = await self._ranks[0].call("address", timeout_s=start)
            await self._all("connect", master, timeout_s=start)

    async def hold(self, policy: PolicyRef) -> None:
        await self._all("hold", policy)

    async def begin(self, start: UpdateStart) -> None:
        await self._all("begin", start)

    async def restore(self, start: UpdateStart, checkpoint: PolicyRef) -> str:
        notes = await self._all("restore", start, checkpoint)
        return notes[0]

    async def prepare(self, examples: Sequence[TrainingExample], *, last: bool) -> None:
        await self._all("prepare", list(examples), last)

    async def checkpoint(self, round: int, path: str) -> PolicyRef:
        return await self._save("save_checkpoint", path, round)

    async def update(self, examples: Sequence[TrainingExample], *, flush: bool) -> list[dict[str, float]]:
        by_rank = await self._all("update", list(examples), flush)
        return [merge_reports(reports) for reports in zip(*by_rank, strict=True)]

    async def measure(self, examples: Sequence[TrainingExample]) -> dict[str, float]:
        by_rank = await self._all("measure", list(examples))
        return mean_metrics([row for rows in by_rank for row in rows])

    async def logps(self, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        return await self._of_sequences("logps", sequences)

    async def scores(self, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        return await self._of_sequences("scores", sequences)

    async def weights(self) -> HostTransfer | NcclTransfer:
        """The policy's weights on their way: over NCCL between GPUs of their own, else through the object store."""
        if self._nccl is not None:
            return self._nccl
        refs = [rank.call_ref("export_weights") for rank in self._ranks]
        await asyncio.gather(*(rank.call("ready") for rank in self._ranks))
        return HostTransfer(ref=refs[0])

    async def save(self, version: int, name: str = "policy") -> PolicyRef:
        return await self._save("save_policy", self._ledger.model_path(version, name), version)

    async def save_reward_model(self, version: int) -> PolicyRef:
        return await self._save("save_reward_model", self._ledger.model_path(version, "reward_model"), version)

    async def save_critic(self, version: int) -> PolicyRef:
        return await self._save("save_critic", self._ledger.model_path(version, "critic"), version)

    async def save_mixture(self, version: int, name: str, parts: Sequence[tuple[PolicyRef, float]]) -> PolicyRef:
        return await self._save("save_mixture", self._ledger.model_path(version, name), version, list(parts))

    async def busy_seconds(self) -> dict[str, float]:
        return {rank.name: await rank.call("busy_seconds") for rank in self._ranks}

    async def _save(self, method: str, path: str, version: int, *args: Any) -> PolicyRef:
        hashes = await self._all(method, path, *args)
        sha256, files = hashes[0]
        return PolicyRef(version=version, path=path, sha256=sha256, files=files)

    async def _of_sequences(self, method: str, sequences: Sequence[TokenSequence]) -> list[Any]:
        """What every rank computes of its share, in the sequences' order."""
        by_rank = await self._all(method, list(sequences))
        by_index = dict(item for items in by_rank for item in items)
        return [by_index[index] for index in range(len(sequences))]

    async def _all(self, method: str, *args: Any, timeout_s: float | None = None) -> list[Any]:
        return list(await asyncio.gather(*(rank.call(method, *args, timeout_s=timeout_s) for rank in self._ranks)))


def merge_reports(reports: Sequence[StepReport]) -> dict[str, float]:
    """One step's metrics over all ranks: means over the examples of all of them, throughput over the slowest rank."""
    rows = [row for report in reports for row in report.rows]
    first = reports[0]
    seconds = max(report.seconds for report in reports)
    return {
        "step": first.step,
        "pairs": len(rows),
        "learning_rate": first.learning_rate,
        "grad_norm": first.grad_norm,
        "tokens_per_s": sum(report.tokens for report in reports) / seconds,
        **mean_metrics(rows),
    }


def mean_metrics(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Means over examples. NaN says that a metric does not apply to an example (the reward of a chosen response where
    there is none)."""
    columns = {name: [row[name] for row in rows if not math.isnan(row[name])] for name in rows[0]}
    return {name: sum(values) / len(values) for name, values in columns.items() if values}
