"""Scripted actors in the real ones' place: in this process, or in Ray's."""

import asyncio
import importlib
import inspect
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from roundelay.launch.compare import judging
from roundelay.launch.run import runs
from roundelay.orchestrator.cluster import ray as cluster
from roundelay.orchestrator.config.schema import ClusterConfig
from roundelay.orchestrator.errors import RunError, UserError

SCRIPTED = {
    "roundelay.workers.rollout:RolloutWorker": "faults.engines:Rollouts",
    "roundelay.workers.learner:Learner": "faults.engines:Learner",
    "roundelay.workers.scorer:Scorer": "faults.engines:Scorer",
}


class InProcess:
    """A cluster whose actors are objects of this process."""

    def __init__(self, config: ClusterConfig, **_: bool): ...

    async def place(self) -> None: ...

    def spawn(self, host: type, target: str, name: str, env: Mapping[str, str], *args: Any) -> "InProcessActor":
        return InProcessActor(name, target, args)

    def close(self) -> None: ...


class InProcessActor:
    """An object that is called as an actor is: it is made at the first call, and what it raises is told alike."""

    def __init__(self, name: str, target: str, args: tuple[Any, ...]):
        self.name, self._target, self._args = name, target, args
        self._object: Any = None

    async def call(self, method: str, *args: Any, timeout_s: float | None = None) -> Any:
        await asyncio.sleep(0)
        try:
            found = self.call_ref(method, *args)
            return await found if inspect.isawaitable(found) else found
        except UserError:
            raise
        except Exception as error:
            raise RunError(
                f"actor {self.name} failed in `{method}`: {type(error).__name__}: {error}", "mend it"
            ) from error

    def call_ref(self, method: str, *args: Any) -> Any:
        if self._object is None:
            module, _, name = SCRIPTED[self._target].partition(":")
            self._object = getattr(importlib.import_module(module), name)(*self._args)
        return getattr(self._object, method)(*args)


@contextmanager
def in_process() -> Iterator[None]:
    """The command line's clusters are in this process."""
    with patch.object(runs, "Cluster", InProcess), patch.object(judging, "Cluster", InProcess):
        yield


@contextmanager
def in_ray() -> Iterator[None]:
    """The command line's clusters are Ray's, with scripted actors."""
    spawn, tests = cluster.Cluster.spawn, str(Path(__file__).parents[1])

    def scripted(self: Any, host: type, target: str, name: str, env: Mapping[str, str], *args: Any) -> Any:
        path = os.pathsep.join(filter(None, [tests, os.environ.get("PYTHONPATH", "")]))
        return spawn(self, host, SCRIPTED[target], name, {**env, "PYTHONPATH": path}, *args)

    with patch.object(cluster.Cluster, "spawn", scripted):
        yield
