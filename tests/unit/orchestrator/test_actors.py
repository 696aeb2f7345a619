"""Rollout engines that die, as the driver sees them."""

import asyncio
from typing import Any

from support.configs import base, changed

from roundelay.orchestrator.cluster.pools import RolloutPool
from roundelay.orchestrator.cluster.ray import ActorDied
from roundelay.orchestrator.data.records import PolicyRef

POLICY = PolicyRef(version=0, path="start", sha256="0")


class Engine:
    """Counts two seconds a call, and dies when it is told to."""

    def __init__(self, index: int):
        self.name, self.busy, self.dies = f"rollout-{index}", 0.0, False

    async def call(self, method: str, *args: Any, timeout_s: float | None = None) -> Any:
        if method == "generate":
            if self.dies:
                raise ActorDied(f"actor {self.name} died", "resume")
            self.busy += 2.0
        return {"busy_seconds": self.busy, "generate": []}.get(method)


class Weights:
    async def deliver(self, engines: Any, version: int) -> None: ...


def test_an_engine_that_is_replaced_has_not_worked_less_than_before() -> None:
    """Engine 0 works 2 s and dies; engine 1 takes its calls over. Its place has worked for 2 s while it is empty, and
    2 s more after its replacement's first call: what a round has of it is never below 0, and its idle share never above
    1."""
    spawned: list[Engine] = []

    def spawn(index: int, policy: PolicyRef) -> Any:
        spawned.append(Engine(index))
        return spawned[-1]

    async def lives() -> list[dict[str, float]]:
        pool = RolloutPool(changed(base().cluster, rollout__actors=2), spawn, POLICY)
        requests: Any = [object()]
        await pool.generate(requests)
        seen = [await pool.busy_seconds()]
        spawned[0].dies = True
        await pool.generate(requests)
        seen.append(await pool.busy_seconds())
        weights: Any = Weights()
        await pool.load(weights, POLICY)
        seen.append(await pool.busy_seconds())
        await pool.generate(requests)
        return [*seen, await pool.busy_seconds()]

    assert asyncio.run(lives()) == [
        {"rollout-0": 2.0, "rollout-1": 0.0},
        {"rollout-0": 2.0, "rollout-1": 2.0},
        {"rollout-0": 2.0, "rollout-1": 2.0},
        {"rollout-0": 4.0, "rollout-1": 2.0},
    ]
