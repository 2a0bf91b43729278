"""The benchmark's own processes: each answers lines of JSON, and ends with its standard input."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress

from pydantic import BaseModel

from service.tether import tethered

STOP_S = 30.0


class AloneJob(BaseModel):
    """To the process that runs the detector alone."""

    cameras: int
    seconds: float


class AloneAnswer(BaseModel):
    """What it measured."""

    engine: str
    fps: float
    cpu_ms: float
    network_share: float


class WorkerJob(BaseModel):
    """To the process that runs a worker: its cameras' rate, None being as fast as it takes them."""

    fps: float | None
    cameras: int


class WorkerCounters(BaseModel):
    """Processor time of a worker's process since its start, in seconds."""

    engine: str
    """Empty before the model is loaded."""
    detector_s: float
    """Network and scoring: of the scoring thread, and of the engine's own threads."""
    scoring_thread_s: float
    """All of the thread that scores."""
    decode_s: float
    send_s: float
    feed_s: float
    """Of the benchmark: giving frames out of memory."""
    total_s: float


class Child:
    """One such process, tied to this one."""

    def __init__(self, module: str, environment: Mapping[str, str]) -> None:
        self._name = module
        self._process = subprocess.Popen(
            # -P: a `model/` in the working directory must not shadow the installed one.
            tethered([sys.executable, "-P", "-m", module]),
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def tell(self, line: str) -> None:
        """Send it a line. Raises: ChildProcessError: it has ended."""
        if self._process.stdin is None:
            raise ChildProcessError(f"{self._name} takes nothing")
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except OSError:
            raise self._ended() from None

    def ask(self, line: str) -> str:
        """Send it a line, and wait for its answer. Raises: ChildProcessError: it has ended."""
        self.tell(line)
        answer = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not answer:
            raise self._ended()
        return answer

    def check(self) -> None:
        """Raises: ChildProcessError: it has ended."""
        if self._process.poll() is not None:
            raise self._ended()

    def _ended(self) -> ChildProcessError:
        return ChildProcessError(
            f"{self._name} ended with status {self._process.wait(STOP_S)}; see what it said above"
        )

    def close(self) -> None:
        """Let it end by itself, and end it if it doesn't."""
        if self._process.stdin is not None:
            with suppress(OSError):  # it has ended, and something waits in the pipe
                self._process.stdin.close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
