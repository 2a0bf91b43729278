"""A worker's CPU time by stage, for its heartbeat."""

from __future__ import annotations

import threading
import time

import psutil

from model.stages import Stage, StageTimes
from service.capture.pipes import shared_reader


class CpuAccount:
    """All CPU seconds of this process by stage; what no stage accounts for is `REST`."""

    def __init__(self, times: StageTimes) -> None:
        self._times = times
        self._process = psutil.Process()
        self._lock = threading.Lock()
        self._native_s = 0.0
        self._rest_s = 0.0

    def seconds(self) -> dict[str, float]:
        """Seconds since the start of each stage; none ever falls. Any thread may ask."""
        with self._lock:
            found = self._times.seconds()
            self._native_s = max(self._native_s, self._native_threads_s())
            found[Stage.NETWORK] += self._native_s
            found[Stage.READING] += shared_reader().cpu_s
            # What the main thread has spent since it entered its stage counts as rest for now.
            self._rest_s = max(self._rest_s, time.process_time() - sum(found.values()))
            found[Stage.REST] = self._rest_s
        return {stage.value: seconds for stage, seconds in found.items() if seconds > 0.0}

    def _native_threads_s(self) -> float:
        """Seconds of the threads that Python doesn't know: they are the engine's."""
        known = {thread.native_id for thread in threading.enumerate()}
        return sum(
            thread.user_time + thread.system_time
            for thread in self._process.threads()
            if thread.id not in known
        )
