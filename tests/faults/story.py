"""Cameras of one service that go wrong all at once, watched over its API from outside."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from time import time as now
from typing import Any

import httpx

from tests.support.service import Service

LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class Moment:
    """The state of one camera at one moment, as the API reported it."""

    at: float
    state: str
    reason: str
    age_p99_s: float | None


@dataclass
class Watched:
    """One camera."""

    name: str
    stream_id: str
    observed: list[Moment] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    """When its scored frames were captured; once the story is over."""

    def states(self, start: float, end: float) -> list[str]:
        """The states it was in, in order, each once in a row."""
        seen: list[str] = []
        for each in self.observed:
            if start <= each.at < end and (not seen or seen[-1] != each.state):
                seen.append(each.state)
        return seen

    def reasons(self, start: float, end: float) -> set[str]:
        """Why it wasn't as it should be."""
        return {each.reason for each in self.observed if start <= each.at < end and each.reason}

    def back_s(self, healed_at: float) -> float | None:
        """Return the time from then to the capture of the first frame that was scored."""
        after = [at for at in self.times if at >= healed_at]
        return min(after) - healed_at if after else None

    def longest_gap_s(self, start: float, end: float) -> float:
        """Between two scored frames, or from the one before it to the end."""
        inside = [at for at in self.times if start <= at < end]
        return max((b - a for a, b in pairwise([start, *inside, end])), default=end - start)

    def worst_age_s(self, start: float, end: float) -> float:
        """The 99th percentile of frame age, at its worst."""
        ages = [each.age_p99_s for each in self.observed if start <= each.at < end]
        return max((age for age in ages if age is not None), default=0.0)


class Watchman:
    """Reads the states of all cameras several times a second, in a thread of its own."""

    def __init__(self, service: Service, cameras: Sequence[Watched]) -> None:
        self._url = service.url
        self._by_id = {camera.stream_id: camera for camera in cameras}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Watch for as long as the block lasts."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join(30)

    def _run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30.0, trust_env=False) as client:
            while not self._stop.wait(LOOK_S):
                try:
                    answer = client.get("/streams")
                except httpx.HTTPError:
                    continue
                if not answer.is_success:
                    continue
                for item in answer.json()["items"]:
                    camera = self._by_id.get(item["id"])
                    if camera is not None:
                        camera.observed.append(_parse_moment(item["status"]))


def _parse_moment(status: dict[str, Any]) -> Moment:
    return Moment(now(), status["state"], status["reason"], status["frame_age_p99_s"])


def scored_times(items: Sequence[dict[str, Any]]) -> list[float]:
    """When the frames that have a score were captured."""
    return [seconds(item["captured_at"]) for item in items if item["score"] is not None]


def seconds(text: str) -> float:
    """ISO 8601 as seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


@dataclass(frozen=True)
class Fault:
    """Something that happens to one camera and ends again."""

    name: str
    promise: str
    begin: Callable[[], object]
    heal: Callable[[], object]
    expected: frozenset[str]
    """One of these states must have been reported meanwhile."""
    is_outage: bool = True
    """Whether it is long enough for one `stream.down` message."""
