"""The benchmark's own processes: each answers lines of JSON, and ends with its standard input."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress

from pydantic import BaseModel, TypeAdapter

from service.tether import tether_command
from service.tools.bench.bench_figures import BenchDetectorFigures

STOP_S = 30.0


DETECTOR_ANSWER = TypeAdapter(BenchDetectorFigures)
"""Reads and writes the answer to a `DetectorJob`."""


class DetectorJob(BaseModel):
    """Asks the process that runs the detector alone for one measurement."""

    cameras: int
    seconds: float
    video: str | None = None
    """Path of the video whose frames are scored; None draws frames."""


class WorkerJob(BaseModel):
    """Says which cameras the worker's process has; without `fps` a frame is always ready."""

    fps: float | None
    cameras: int


class WorkerCounters(BaseModel):
    """Counts the seconds of processor time that a worker's process has used since its start."""

    engine: str
    """Empty before the model is loaded."""
    scoring_thread_s: float
    """Seconds of the thread that scores."""
    stages: dict[str, float]
    """Seconds of the whole process by `Stage`; the feed's are in `rest`."""
    feed_s: float
    """Seconds that the benchmark itself spent on giving frames out of memory."""


class Child:
    """Runs such a process, which ends when this one does."""

    def __init__(self, module: str, environment: Mapping[str, str]) -> None:
        self._name = module
        self._process = subprocess.Popen(
            # -P: a `model/` in the working directory must not shadow the installed one.
            tether_command([sys.executable, "-P", "-m", module]),
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def send(self, line: str) -> None:
        """Send a line. Raises: ChildProcessError: it has ended."""
        if self._process.stdin is None:
            raise ChildProcessError(f"{self._name} has no standard input")
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except OSError:
            raise self._make_end_error() from None

    def ask(self, line: str) -> str:
        """Send a line, and wait for the answer. Raises: ChildProcessError: it has ended."""
        self.send(line)
        answer = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not answer:
            raise self._make_end_error()
        return answer

    def check(self) -> None:
        """Check that it runs. Raises: ChildProcessError: it has ended."""
        if self._process.poll() is not None:
            raise self._make_end_error()

    def _make_end_error(self) -> ChildProcessError:
        return ChildProcessError(
            f"{self._name} ended with status {self._process.wait(STOP_S)}; see its output above"
        )

    def close(self) -> None:
        """Close its standard input, and kill it if it doesn't end then."""
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
