"""Makes batches in a thread while the network computes on those before them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")

AHEAD = 2
"""Batches that wait at most: one is used, the next is ready."""


def make_ahead(items: Iterator[_Item], count: int = AHEAD) -> Iterator[_Item]:
    """Yield the same items in the same order; a thread makes up to `count` of them ahead.

    OpenCV and NumPy work without Python's lock for most of the time, so a thread is enough, and the
    footage isn't copied into a process. What the thread raises is raised here.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as maker:
        waiting = deque(maker.submit(next, items, None) for _ in range(count))
        try:
            while (item := waiting.popleft().result()) is not None:
                waiting.append(maker.submit(next, items, None))
                yield item
        finally:
            for each in waiting:
                each.cancel()
