"""A remote call as the driver awaits it, with a future in Ray's place."""

import asyncio
from types import SimpleNamespace

import pytest

from roundelay.orchestrator.cluster import Actor
from roundelay.orchestrator.errors import RunError


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
