"""What the driver is told when an actor fails: real Ray, actors without engines."""

import asyncio
import socket
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.configs import base

from roundelay.orchestrator.cluster.ray import Actor, ActorDied, AsyncHost, Cluster, Host
from roundelay.orchestrator.errors import ConfigError, RunError, UserError

TESTS = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def loop():
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def actors(loop: asyncio.Runner):
    """By name: one whose construction raises, one that dies twice over, one that is asynchronous."""
    shipped = base().cluster
    small = replace(shipped, num_cpus=4, rollout=replace(shipped.rollout, actors=4, cpus=1.0))
    cluster = Cluster(small, scorers=False, learners=False)
    try:
        loop.run(cluster.place())

        def spawn(host: type[Host | AsyncHost], name: str, index: int) -> Actor:
            return cluster.spawn(host, f"support.failing_actors:{name}", f"rollout-{index}", {"PYTHONPATH": str(TESTS)})

        yield {
            "never built": spawn(Host, "NeverBuilt", 0),
            "failing": spawn(Host, "Failing", 1),
            "asynchronous": spawn(AsyncHost, "FailingAsync", 2),
            "exits": spawn(Host, "Failing", 3),
        }
    finally:
        cluster.close()


def said(loop: asyncio.Runner, call: Coroutine[Any, Any, Any]) -> UserError:
    with pytest.raises(UserError) as caught:
        loop.run(call)
    return caught.value


def test_an_error_in_an_actors_construction_is_told_with_its_cause_first(loop: asyncio.Runner, actors) -> None:
    """At every call, without colour codes, and with actor, call and node; no out-of-memory killer is suspected."""
    for method in ("ready", "generate"):
        error = said(loop, actors["never built"].call(method))
        assert type(error) is RunError
        lines = error.what.splitlines()
        assert lines[0] == "KeyError: 'lm_head.weight is not in the checkpoint'"
        assert lines[1].strip() == "which led to RuntimeError: the engine did not start"
        assert f"actor rollout-0, in `{method}`, on node {socket.gethostname()}" in lines[2]
        assert "memory" not in str(error) and "\x1b" not in str(error)


@pytest.mark.parametrize("name", ["failing", "asynchronous"])
def test_an_error_that_cannot_be_pickled_is_told_by_its_words(name: str, loop: asyncio.Runner, actors) -> None:
    error = said(loop, actors[name].call("unpicklable"))
    assert type(error) is RunError
    assert error.what.splitlines()[0] == "Unpicklable: lm_head is not in model.safetensors"
    assert "in `unpicklable`" in error.what


def test_an_error_of_ours_keeps_its_class_and_remedy(loop: asyncio.Runner, actors) -> None:
    error = said(loop, actors["failing"].call("refuse"))
    assert type(error) is ConfigError
    assert error.what.splitlines()[0] == "model.path=x holds no tokenizer"
    assert "actor rollout-1, in `refuse`" in error.what
    assert error.remedy == "give one that does"


def test_a_killed_process_is_told_from_a_raised_error(loop: asyncio.Runner, actors) -> None:
    """It is an `ActorDied`, with process and node, and how Ray saw it end: by a signal, or by an exit of its own."""
    killed, exited = (
        said(loop, actors[name].call(method)) for name, method in (("failing", "kill"), ("exits", "exit"))
    )
    assert type(killed) is ActorDied and type(exited) is ActorDied
    assert "actor rollout-1 died during `kill`: its process" in killed.what
    assert "raised no error: it was killed (SIGKILL" in killed.what
    assert "ended with exit code 4" in exited.what
    assert "\x1b" not in str(killed) and "connection error code" not in str(killed)
