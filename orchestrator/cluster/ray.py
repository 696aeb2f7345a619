"""Ray: cluster, placement, actors, calls with deadlines. The only module on the driver's side that imports it."""

import asyncio
import importlib
import math
import os
import re
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from ..config.schema import ClusterConfig
from ..errors import ConfigError, RemoteError, RunError, UserError, cause_of

Bundle = dict[str, float]

MAX_SOCKET_PATH = 103 if sys.platform == "darwin" else 107  # bytes


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


def check_socket_path(folder: str) -> None:
    """Refuse a directory for temporary files under which the paths of Ray's sockets are longer than the system allows.

    Raises:
        ConfigError: naming the directory.
    """
    path = f"{folder}/ray/session_2000-01-01_00-00-00_000000_{os.getpid()}/sockets/plasma_store"
    if (excess := len(os.fsencode(path)) - MAX_SOCKET_PATH) > 0:
        raise ConfigError(
            f"TMPDIR={folder} is {excess} bytes too long: Ray's sockets under it may have {MAX_SOCKET_PATH}",
            "set RAY_TMPDIR to a shorter directory, such as /tmp",
        )


class Host:
    """Any class as a Ray actor: its methods are called by name, one at a time, on the process's main thread.

    An error in the class's construction is kept and raised by every call: Ray would call the actor dead, as it calls
    one whose process was killed.
    """

    def __init__(self, target: str, *args: Any):
        module, _, name = target.partition(":")
        self.failure: Exception | None = None
        try:
            self.target = getattr(importlib.import_module(module), name)(*args)
        except Exception as error:
            self.failure = error

    def call(self, method: str, *args: Any) -> Any:
        with _as_text():
            return self.method(method)(*args)

    def method(self, name: str) -> Any:
        """The target's method; raises what the target's construction raised."""
        if self.failure is not None:
            raise self.failure
        return getattr(self.target, name)


class AsyncHost:
    """A class whose methods are coroutines as a Ray actor: calls run side by side."""

    def __init__(self, target: str, *args: Any):
        self.host = Host(target, *args)

    async def call(self, method: str, *args: Any) -> Any:
        with _as_text():
            return await self.host.method(method)(*args)


@contextmanager
def _as_text() -> Iterator[None]:
    """Errors leave an actor as text: the driver has not what their classes are defined in, and not all can be pickled.
    Those for the user stay what they are."""
    try:
        yield
    except UserError as error:
        raise error.within(f"on {_here()}") from error
    except Exception as error:
        raise RemoteError(cause_of(error), _here()) from error


def _here() -> str:
    return f"node {socket.gethostname()} ({ray.util.get_node_ip_address()}), process {os.getpid()}"


class Cluster:
    """A connection to Ray and the placement of one run's actors."""

    def __init__(self, config: ClusterConfig, *, scorers: bool, learners: bool = True):
        self.config = config
        self.bundles = bundles_of(config, scorers=scorers, learners=learners)
        self._group: PlacementGroup | None = None
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if config.address is None:
            check_socket_path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir())
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
        except (OSError, ValueError, RuntimeError) as error:
            doing, remedy = (
                ("Ray does not start on this machine", "mend the cause, or start Ray with `ray start --head`")
                if config.address is None
                else ("Ray cannot be reached", "start it with `ray start --head`, or set cluster.address=null")
            )
            raise ConfigError(f"cluster.address={config.address}: {doing}\n  {cause_of(error)}", remedy) from error

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
            UserError: the method raised it.
            RunError: the deadline passed, or the method raised another error; the remote traceback is the cause.
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
            raise _raised(error, self.name, method) from error
        except RayActorError as error:
            raise ActorDied(
                f"actor {self.name} died during `{method}`: {death(str(error))}",
                "mend what ended it, then resume the run",
            ) from error
        except RayError as error:
            raise RunError(
                f"{cause_of(error)}\n  actor {self.name}, in `{method}`", "mend the cause, then resume the run"
            ) from error

    def call_ref(self, method: str, *args: Any) -> Any:
        """The reference to a remote method's result, to be passed on without being fetched."""
        return self.handle.call.remote(method, *args)


def _raised(error: RayTaskError, actor: str, method: str) -> UserError:
    """What an actor's method raised (or what one of its arguments was to come from), the cause first."""
    cause: Any = error
    while isinstance(cause, RayTaskError):
        cause = cause.cause
    where = f"actor {actor}, in `{method}`"
    if isinstance(cause, UserError):
        return cause.within(where)
    remedy = "mend the cause, then resume the run"
    if isinstance(cause, RemoteError):
        return RunError(f"{cause.cause}\n  {where}, on {cause.place}", remedy)
    said = f"an actor that it needed died: {death(str(cause))}" if isinstance(cause, RayActorError) else cause_of(cause)
    return RunError(f"{said}\n  {where}", remedy)


def death(said: str) -> str:
    """How an actor's process ended, of what Ray says of it.

    Example:
        >>> death("The actor died. pid: 7 ip: 10.0.0.1 Worker exit detail: Worker exits with an exit code 4.")
        'its process 7 on node 10.0.0.1 ended with exit code 4'
    """
    pid, ip = re.search(r"\bpid: (\d+)", said), re.search(r"\bip: (\S+)", said)
    process = f"its process{f' {pid[1]}' if pid else ''}{f' on node {ip[1]}' if ip else ''}"
    lower = said.lower()
    if "out_of_memory" in lower or "running low on memory" in lower:
        return f"{process} was killed by Ray, because the node ran out of memory"
    if "node has died" in lower or "node died" in lower or "node was terminated" in lower:
        return f"{process} is gone with its node, which was lost or shut down"
    if "ray.kill" in lower or "intended_" in lower:
        return f"{process} was ended by a command to Ray"
    if code := re.search(r"exit code (-?\d+)", said):
        return f"{process} ended with exit code {code[1]}"
    if "end of file" in lower:
        return (
            f"{process} raised no error: it was killed (SIGKILL; by the out-of-memory killer, if the kernel's log says "
            "so) or crashed (SIGSEGV and the like)"
        )
    return f"{process} is gone: {' '.join(said.split()):.500}"


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
