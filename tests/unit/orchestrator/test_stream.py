"""The bounded stream: results in order, never more under way than the limit, failures in their turn."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundelay.orchestrator.round.stream import map_in_order


class Work:
    """Items that take as many turns of the event loop as they are told, and a log of what happened to them."""

    def __init__(self, turns: list[int], fails: int | None = None):
        self.turns, self.fails = turns, fails
        self.started: list[int] = []
        self.finished: list[int] = []
        self.cancelled: list[int] = []
        self.most_held = 0
        self.taken = 0

    def items(self) -> Iterator[int]:
        yield from range(len(self.turns))

    async def __call__(self, item: int) -> str:
        self.started.append(item)
        self.most_held = max(self.most_held, len(self.started) - self.taken)
        try:
            for _ in range(self.turns[item]):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled.append(item)
            raise
        if item == self.fails:
            raise RuntimeError(f"item {item}")
        self.finished.append(item)
        return f"result {item}"


@given(turns=st.lists(st.integers(0, 6), max_size=12), limit=st.integers(1, 5))
def test_results_come_in_the_items_order_and_the_limit_is_never_exceeded(turns: list[int], limit: int) -> None:
    """What is started and not yet taken (under way or waiting) is at most `limit`, however long each takes."""
    work = Work(turns)

    async def run() -> list[str]:
        results = []
        async for result in map_in_order(work, work.items(), limit=limit):
            work.taken += 1
            results.append(result)
            await asyncio.sleep(0)
        return results

    assert asyncio.run(run()) == [f"result {item}" for item in range(len(turns))]
    assert work.most_held <= limit
    assert sorted(work.finished) == list(range(len(turns)))


def test_items_are_worked_on_at_the_same_time() -> None:
    """A slow first item does not keep the others, up to the limit, from finishing before it."""
    work = Work([50, 1, 1, 1, 1])

    async def run() -> None:
        async for _ in map_in_order(work, work.items(), limit=3):
            work.taken += 1
            if work.taken == 1:
                assert work.finished == [1, 2, 0]

    asyncio.run(run())
    assert work.most_held == 3


def test_a_failure_is_raised_in_its_turn_and_the_rest_is_cancelled() -> None:
    """Item 1 fails at once, while item 0 still runs: item 0's result comes first, then the failure; 2 and 3 are
    cancelled and have ended when it is raised, and 4 is never started."""
    work = Work([20, 0, 10_000, 10_000, 0], fails=1)
    results: list[str] = []

    async def run() -> None:
        try:
            async for result in map_in_order(work, work.items(), limit=4):
                work.taken += 1
                results.append(result)
        finally:
            assert work.cancelled == [2, 3]
            assert asyncio.all_tasks() == {asyncio.current_task()}

    with pytest.raises(RuntimeError, match="item 1"):
        asyncio.run(run())
    assert results == ["result 0"]
    assert work.started == [0, 1, 2, 3]


def test_a_consumer_that_stops_early_leaves_nothing_under_way() -> None:
    work = Work([1, 10_000, 10_000])

    async def run() -> None:
        stream = map_in_order(work, work.items(), limit=3)
        assert await anext(stream) == "result 0"
        await stream.aclose()  # pyright: ignore[reportAttributeAccessIssue]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())
    assert work.cancelled == [1, 2]


def test_cancelling_the_consumer_cancels_what_is_under_way() -> None:
    """Ctrl-C: the driver's task is cancelled while it waits for item 0."""
    work = Work([10_000, 10_000])

    async def consume() -> None:
        async for _ in map_in_order(work, work.items(), limit=2):
            pass

    async def run() -> None:
        task = asyncio.create_task(consume())
        for _ in range(10):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())
    assert sorted(work.cancelled) == [0, 1]


def test_items_are_drawn_only_as_they_are_needed() -> None:
    """A round may be larger than memory: with limit 2, taking one result draws at most three items."""
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for item in range(1000):
            drawn.append(item)
            yield item

    async def run() -> None:
        work = Work([0] * 1000)
        stream = map_in_order(work, items(), limit=2)
        await anext(stream)
        assert len(drawn) <= 3
        await stream.aclose()  # pyright: ignore[reportAttributeAccessIssue]

    asyncio.run(run())
