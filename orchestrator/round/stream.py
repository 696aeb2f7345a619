"""A bounded stream of shards: many in flight, results in order, memory for no more than the limit."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


async def map_in_order(
    function: Callable[[In], Awaitable[Out]], items: Iterable[In], *, limit: int
) -> AsyncIterator[Out]:
    """`function` of every item, at most `limit` under way or waiting to be taken, results in the items' order.

    A failure of one is raised in its turn; what is still under way is cancelled.
    """
    tasks: deque[asyncio.Future[Out]] = deque()
    try:
        for item in items:
            if len(tasks) == limit:
                yield await tasks.popleft()
            tasks.append(asyncio.ensure_future(function(item)))
        while tasks:
            yield await tasks.popleft()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
