"""Ray: cluster, placement, actors, calls with deadlines. The only module on the driver's side that imports it."""

import asyncio
import importlib
import math
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from .config import ClusterConfig
from .errors import ConfigError, RunError

Bundle = dict[str, float]


class ActorDied(RunError):
    """An actor's process is gone. Rollout engines are replaced; a dead learner ends the run, which can be resumed."""


def bundles_of(config: ClusterConfig, *, scorers: bool, learners: bool = True) -> dict[str, Bundle]:
    """What every actor needs, by name, in placement order; `scorers` says whether models judge beside the
    policy, `learners` whether anything is learnt.

    Example: {"rollout-0": {"CPU": 1.0}, "learner-0": {"CPU": 1.0}}
    """

    def bundle(cpus: float, gpus: float) -> Bundle:
        return {"CPU": cpus} | ({"GPU": gpus} if gpus else {})

    rollouts = {f"rollout-{i}": bundle(config.rollout.cpus, config.rollout.gpus) for i in range(config.rollout.actors)}
    ranks = {f"learner-{i}": bundle(config.learner.cpus, config.learner.gpus) for i in range(config.learner.ranks)}
    judges = {f"scorer-{i}": bundle(config.scorer.cpus, config.scorer.gpus) for i in range(config.scorer.actors)}
    return rollouts | (ranks if learners else {}) | (judges if scorers else {})


def check_placeable(bundles: Mapping[str, Bundle], nodes: Sequence[Mapping[str, float]]) -> None:
    """Refuse bundles that `nodes` (total resources each) can never hold.

    Raises:
        ConfigError: naming the bundle.
    """
    have = "; ".join(f"node {i}: {_resources(node)}" for i, node in enumerate(nodes)) or "no node"
    for name, bundle in bundles.items():
        if not any(all(node.get(kind, 0.0) >= need for kind, need in bundle.items()) for node in nodes):
            raise ConfigError(
                f"bundle {name} needs {_resources(bundle)}, which no node of the cluster has ({have})",
                f"lower cluster.{name.split('-')[0]}.cpus or .gpus, or add a larger node",
            )
    for kind in sorted({kind for bundle in bundles.values() for kind in bundle}):
        total, placed = math.fsum(node.get(kind, 0.0) for node in nodes), 0.0
        for name, bundle in bundles.items():
            placed += bundle.get(kind, 0.0)
            if placed > total + 1e-9:
                raise ConfigError(
                    f"bundle {name} can never be placed: with it the actors need {placed:g} {kind}, and the cluster "
                    f"has {total:g} ({have})",
                    "lower cluster.rollout.actors or cluster.learner.ranks (or what each asks for), or add nodes",
                )


class Host:
    """Any class as a Ray actor: its methods are called by name, one at a time, on the process's main thread."""

    def __init__(self, target: str, *args: Any):
        module, _, name = target.partition(":")
        self.target = getattr(importlib.import_module(module), name)(*args)

    def call(self, method: str, *args: Any) -> Any:
        return getattr(self.target, method)(*args)


class AsyncHost:
    """A class whose methods are coroutines as a Ray actor: calls run side by side."""

    def __init__(self, target: str, *args: Any):
        self.host = Host(target, *args)

    async def call(self, method: str, *args: Any) -> Any:
        return await self.host.call(method, *args)


class Cluster:
    """A connection to Ray and the placement of one run's actors."""

    def __init__(self, config: ClusterConfig, *, scorers: bool, learners: bool = True):
        self.config = config
        self.bundles = bundles_of(config, scorers=scorers, learners=learners)
        self._group: PlacementGroup | None = None
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        common: dict[str, Any] = {"log_to_driver": False, "namespace": None, "logging_level": "ERROR"}
        try:
            with _keeping_sigterm():
                if config.address is None:
                    ray.init(
                        address="local",
                        num_cpus=config.num_cpus,
                        include_dashboard=config.dashboard,
                        dashboard_host="127.0.0.1",
                        **common,
                    )
                else:
                    ray.init(address=config.address, **common)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"cluster.address={config.address}: Ray cannot be reached ({str(error).splitlines()[0]})",
                "start it with `ray start --head`, or set cluster.address=null for this machine",
            ) from error

    async def place(self) -> None:
        """Reserve every actor's bundle.

        Raises:
            ConfigError: a bundle can never be placed, or is not free within `placement_timeout_s`.
        """
        bundles = self.bundles
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        check_placeable(bundles, nodes)
        self._group = placement_group(list(bundles.values()), strategy=self.config.placement)
        try:
            async with asyncio.timeout(self.config.placement_timeout_s):
                await _wait(self._group.ready())
        except TimeoutError as error:
            free = _resources(ray.available_resources())
            raise ConfigError(
                f"the bundles {_listing(bundles)} were not placed within {self.config.placement_timeout_s:g} s by "
                f"cluster.placement={self.config.placement} (free now: {free})",
                "free resources of the cluster, ask for less, or choose cluster.placement=PACK",
            ) from error

    def spawn(
        self, host: type[Host | AsyncHost], target: str, name: str, env: Mapping[str, str], *args: Any
    ) -> "Actor":
        """Start a `host` of `target` ("module:Class", called with `args` there) in the bundle `name`.

        Returns at once. The class is imported in the actor only: the driver never loads torch, vLLM or DeepSpeed.
        """
        assert self._group is not None, "place() comes before spawn()"
        bundle = self.bundles[name]
        options: dict[str, Any] = {
            "num_cpus": bundle["CPU"],
            "num_gpus": bundle.get("GPU", 0.0),
            "scheduling_strategy": PlacementGroupSchedulingStrategy(
                placement_group=self._group, placement_group_bundle_index=list(self.bundles).index(name)
            ),
            "runtime_env": {"env_vars": dict(env)},
        }
        handle = ray.remote(host).options(**options).remote(target, *args)
        return Actor(name, handle, self.config.call_timeout_s)

    def close(self) -> None:
        if self._group is not None:
            remove_placement_group(self._group)
        ray.shutdown()


class Actor:
    """A handle whose every call has a deadline, and whose errors name the actor and the call."""

    def __init__(self, name: str, handle: Any, timeout_s: float):
        self.name, self.handle, self.timeout_s = name, handle, timeout_s

    async def call(self, method: str, *args: Any, timeout_s: float | None = None) -> Any:
        """The result of a remote method.

        Raises:
            ActorDied: the actor's process is gone.
            RunError: the deadline passed, or the method raised; the remote traceback is the cause.
        """
        deadline = self.timeout_s if timeout_s is None else timeout_s
        try:
            # Not wait_for: in Python 3.11 it loses a cancellation (Ctrl-C) that comes as the call returns.
            async with asyncio.timeout(deadline):
                return await _wait(self.handle.call.remote(method, *args))
        except TimeoutError as error:
            raise RunError(
                f"actor {self.name} did not finish `{method}` within {deadline:g} s",
                "resume the run; if it was only slow, raise cluster.call_timeout_s",
            ) from error
        except RayTaskError as error:
            cause = error.cause
            if isinstance(cause, ConfigError | RunError):
                raise cause from error
            raise RunError(
                f"actor {self.name} failed in `{method}`: {type(cause).__name__}: {cause}",
                "mend the cause, then resume the run",
            ) from error
        except RayActorError as error:
            raise ActorDied(
                f"actor {self.name} died during `{method}`: {str(error).strip().splitlines()[0]}",
                "look for the out-of-memory killer or a crashed node, then resume the run",
            ) from error

    def call_ref(self, method: str, *args: Any) -> Any:
        """The reference to a remote method's result, to be passed on without being fetched."""
        return self.handle.call.remote(method, *args)


@contextmanager
def _keeping_sigterm() -> Iterator[None]:
    """SIGTERM does afterwards what it did before: Ray has it abort the driver. (Not in other threads than the main one,
    where Python sets no handlers, and Ray none either.)"""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


async def _wait(ref: Any) -> Any:
    return await ref


def _resources(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{resources[kind]:g} {kind}" for kind in ("CPU", "GPU") if kind in resources) or "nothing"


def _listing(bundles: Mapping[str, Bundle]) -> str:
    return ", ".join(f"{name} ({_resources(bundle)})" for name, bundle in bundles.items())
