"""Runs slow work of requests apart from the threads that answer the others: a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Request

from service.errors import BacklogFull

RETRY_AFTER_S = 10
Result = TypeVar("Result")


class SlowWork:
    """Threads for one kind of work. Only the event loop calls it."""

    def __init__(self, name: str, *, at_once: int, waiting: int) -> None:
        """Args:
        name: what it is called where there is too much of it.
        waiting: so many requests may wait for a thread; more are refused.
        """
        self._name = name
        self._limit = at_once + waiting
        self._limiter = CapacityLimiter(at_once)
        self._under_way = 0

    async def run(self, work: Callable[[], Result]) -> Result:
        """Run the work in a thread. Raises: BacklogFull: too much of it waits."""
        if self._under_way >= self._limit:
            raise BacklogFull(self._name, self._limit, RETRY_AFTER_S)
        self._under_way += 1
        try:
            return await to_thread.run_sync(work, limiter=self._limiter)
        finally:
            self._under_way -= 1

    async def run_for(
        self, request: Request, work: Callable[[], Result], stop: Callable[[], object]
    ) -> Result:
        """Run the work, and call `stop` if the client leaves meanwhile; its body was read before.

        Raises: BacklogFull: too much of it waits.
        """
        watching = asyncio.create_task(_watch_client(request, stop))
        try:
            return await self.run(work)
        finally:
            watching.cancel()
            await asyncio.wait([watching])


async def _watch_client(request: Request, stop: Callable[[], object]) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    stop()
