"""How the learner's weights get to the rollout engines: through host memory, or over NCCL between GPUs of their own."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .ray import Actor


@dataclass(frozen=True, kw_only=True, slots=True)
class HostTransfer:
    """All weights in Ray's object store; every node fetches them once, every engine on it maps them."""

    ref: Any

    async def deliver(self, engines: Sequence[Actor], policy_version: int) -> None:
        await asyncio.gather(*(engine.call("load_weights", self.ref, policy_version) for engine in engines))


@dataclass(kw_only=True, slots=True)
class NcclTransfer:
    """vLLM's NCCL weight transfer: rank 0 of the learner broadcasts to every engine, GPU to GPU.

    The process group is made at the first delivery, and again when the engines are others than before. Written against
    vLLM 0.32's `distributed.weight_transfer`; not exercised by CI, which has no GPU.
    """

    ranks: Sequence[Actor]
    tensor_parallel_size: int
    connected: list[str] = field(default_factory=list)

    async def deliver(self, engines: Sequence[Actor], policy_version: int) -> None:
        identities = [f"{engine.name}/{id(engine)}" for engine in engines]
        if identities != self.connected:
            handles = [engine.handle for engine in engines]
            await self._all("connect_rollouts", handles, self.tensor_parallel_size)
            self.connected = identities
        await self._all("send_weights")
        await asyncio.gather(*(engine.call("finish_transfer", policy_version) for engine in engines))

    async def _all(self, method: str, *args: Any) -> None:
        await asyncio.gather(*(rank.call(method, *args) for rank in self.ranks))


def nccl_layout(num_engines: int, tensor_parallel_size: int) -> tuple[int, list[int]]:
    """(size of the NCCL group, first rank of every engine). The learner's sender is rank 0.

    Example:
        >>> nccl_layout(3, 2)
        (7, [1, 3, 5])
    """
    return 1 + num_engines * tensor_parallel_size, [1 + i * tensor_parallel_size for i in range(num_engines)]
