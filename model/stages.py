"""CPU time by stage. `Stage` names all stages of the service, so that a worker's heartbeat, the
metrics and the benchmark use the same words.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum


class Stage(StrEnum):
    """What CPU time is spent on."""

    NETWORK = "network"
    """The engine: prediction and measures, in whichever thread."""
    SCENE = "scene"
    """Comparing the frame with its scene, undoing its exposure, following the scene."""
    SCORING = "scoring"
    """The rest of the detector: batches, scores, memory."""
    CLIPS = "clips"
    """Keeping pictures, sending them for events, writing events' clips."""
    READING = "reading"
    """Taking frames from the capture processes' pipes."""
    SENDING = "sending"
    """Publishing scores and statuses to Redis."""
    LOOP = "loop"
    """The rest of the worker's main thread: turns, cameras, accounts."""
    CAPTURE = "capture"
    """Capture processes: receiving, decoding, resizing."""
    RECORDING = "recording"
    """The front end's recorder: from Redis to the database."""
    SERVING = "serving"
    """The rest of the front end: the API, notifications, retention."""
    REDIS = "redis"
    REST = "rest"
    """What no other stage accounts for."""


class ThreadClock:
    """CPU time of the thread that makes it. Any thread may read it, after that one's end too."""

    def __init__(self) -> None:
        self._clock = time.pthread_getcpuclockid(threading.get_ident())
        self._seconds = 0.0

    @property
    def seconds(self) -> float:
        """Seconds since the thread began."""
        with suppress(OSError):  # the thread has ended: its last reading stands
            self._seconds = max(self._seconds, time.clock_gettime(self._clock))
        return self._seconds


class _Entered(threading.local):
    """The stage that a thread is in, and since when by its own clock."""

    stage: Stage | None = None
    since_s = 0.0


class StageTimes:
    """CPU seconds by stage, of threads that go from stage to stage and of others that stay in one.

    A thread of the first kind is in one stage at any time: nothing of it counts twice, and nothing
    is left out.
    """

    def __init__(self, clock: Callable[[], float] = time.thread_time) -> None:
        self._clock = clock
        self._seconds = dict.fromkeys(Stage, 0.0)
        self._lock = threading.Lock()
        self._thread = _Entered()
        self._followed: list[tuple[Stage, ThreadClock]] = []

    def enter(self, stage: Stage | None) -> Stage | None:
        """Begin a stage of the calling thread; None stops counting. Returns the one that ends."""
        now, ended = self._clock(), self._thread.stage
        if ended is not None:
            self.add(ended, now - self._thread.since_s)
        self._thread.stage, self._thread.since_s = stage, now
        return ended

    @contextmanager
    def spend_on(self, stage: Stage) -> Iterator[None]:
        """Count the block for the stage, then go on with the stage before."""
        before = self.enter(stage)
        try:
            yield
        finally:
            self.enter(before)

    def add(self, stage: Stage, seconds: float) -> None:
        """Count what other threads spent."""
        with self._lock:
            self._seconds[stage] += seconds

    def follow(self, stage: Stage) -> None:
        """Count all that the calling thread ever spends for one stage."""
        self._followed.append((stage, ThreadClock()))

    def seconds(self) -> dict[Stage, float]:
        """Seconds of each stage up to the last `enter`. Any thread may ask."""
        with self._lock:
            totals = dict(self._seconds)
        for stage, clock in tuple(self._followed):
            totals[stage] += clock.seconds
        return totals
