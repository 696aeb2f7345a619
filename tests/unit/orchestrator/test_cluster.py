"""A remote call as the driver awaits it, with a future in Ray's place."""

import asyncio
import pickle
from types import SimpleNamespace

import pytest

from roundelay.orchestrator.cluster.ray import Actor, ActorDied, check_socket_path, death
from roundelay.orchestrator.errors import ConfigError, RunError, cause_of, located


def actor(future: "asyncio.Future[str]", timeout_s: float = 60.0) -> Actor:
    return Actor("worker-0", SimpleNamespace(call=SimpleNamespace(remote=lambda method: future)), timeout_s)


def test_an_interrupt_that_comes_as_a_call_returns_is_not_lost() -> None:
    """Ctrl-C cancels the driver. Swallowed by the one call that has just been answered, the run would go on."""

    async def interrupted() -> None:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        calling = asyncio.ensure_future(actor(future).call("busy_seconds"))
        await asyncio.sleep(0)
        future.set_result("done")
        calling.cancel()
        await calling

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(interrupted())


def test_a_call_that_is_not_answered_ends_with_its_actor_method_and_deadline() -> None:
    async def unanswered() -> None:
        await actor(asyncio.get_running_loop().create_future(), timeout_s=0.01).call("generate")

    with pytest.raises(RunError, match=r"actor worker-0 did not finish `generate` within 0\.01 s"):
        asyncio.run(unanswered())


def test_sockets_whose_path_the_system_cannot_take_are_refused_by_the_directory() -> None:
    """Before Ray starts: 107 bytes are all that a socket's path may have."""
    check_socket_path("/tmp")
    with pytest.raises(ConfigError, match=r"TMPDIR=/tmp/x+ is \d+ bytes too long") as caught:
        check_socket_path(f"/tmp/{'x' * 60}")
    assert "set RAY_TMPDIR to a shorter directory" in caught.value.remedy


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "pid: 7\n\tip: 10.0.0.1\n Worker exit type: NODE_OUT_OF_MEMORY",
            "its process 7 on node 10.0.0.1 was killed by",
        ),
        ("The actor died because its node has died. Node Id: 3f", "gone with its node"),
        ("The actor is dead because it was killed by `ray.kill`.", "ended by a command to Ray"),
        ("Worker exits with an exit code 4.", "ended with exit code 4"),
        ("Worker unexpectedly exits with a connection error code 2. End of file.", "raised no error: it was killed"),
        ("The actor is temporarily unavailable: 3 retries", "is gone: The actor is temporarily unavailable: 3 retries"),
    ],
)
def test_how_a_process_ended_is_told_apart(said: str, told: str) -> None:
    assert told in death(said)


def test_an_error_says_its_cause_first_and_without_colour_codes() -> None:
    error = RuntimeError("start failed")
    error.__cause__ = ValueError("\x1b[31mno such tensor\x1b[0m\n\nlm_head")
    assert cause_of(error) == "ValueError: no such tensor\n    lm_head\n  which led to RuntimeError: start failed"


def test_an_error_names_shard_stage_and_round_and_stays_what_it_is() -> None:
    """Also through a pickle, which takes it from an actor to the driver."""
    with pytest.raises(ActorDied) as caught, located("round 2"), located("stage rollouts"), located("shard 3"):
        raise pickle.loads(pickle.dumps(ActorDied("actor rollout-0 died", "resume")))
    assert caught.value.what == "actor rollout-0 died\n  shard 3\n  stage rollouts\n  round 2"
    assert caught.value.remedy == "resume"
