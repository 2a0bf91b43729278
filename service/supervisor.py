"""Runs a set of processes as one: starts them in order, restarts what dies, stops all together."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from service.tether import tether_command
from service.timers import Clock, Deadline, compute_backoff_s

log = structlog.get_logger(__name__)

STEADY_S = 20.0
"""A process that lived this long may fall again without being punished for its earlier falls."""
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 10.0
STOP_TIMEOUT_S = 8.0
GIVE_UP = 2
"""The exit status of a process whose settings are wrong: to start it again is of no use."""
TICK_S = 0.1


@dataclass(frozen=True, slots=True)
class SupervisedProgram:
    """A program to run, and how to know that it is up."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    is_ready: Callable[[], bool] = lambda: True
    ready_timeout_s: float = 60.0


@dataclass(slots=True)
class _Child:
    program: SupervisedProgram
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    falls: int = 0
    restart_at: float = 0.0


class Supervisor:
    """Keeps programs running until it is stopped. For one thread."""

    def __init__(
        self, programs: Sequence[SupervisedProgram], clock: Clock = time.monotonic
    ) -> None:
        self._children = [_Child(program) for program in programs]
        self._clock = clock

    def start(self, stop: threading.Event) -> int | None:
        """Start each program when the one before it is ready.

        Returns: None once all are up or `stop` is set; else the exit status to end with.
        """
        for child in self._children:
            self._spawn(child)
            deadline = Deadline(child.program.ready_timeout_s, self._clock)
            while not stop.is_set() and not child.program.is_ready():
                status = self._tend()
                if status is not None:
                    return status
                if deadline.is_over:
                    log.error("not ready in time", program=child.program.name)
                    return 1
                stop.wait(TICK_S)
        return None

    def run(self, stop: threading.Event) -> int:
        """Restart what dies until `stop` is set. Returns the exit status to end with."""
        while not stop.wait(TICK_S):
            status = self._tend()
            if status is not None:
                return status
        return 0

    def stop(self) -> None:
        """Stop the programs, the last one first: each gets SIGTERM, and SIGKILL if it lingers."""
        for child in reversed(self._children):
            process = child.process
            if process is None or process.poll() is not None:
                continue
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                log.warning("killed, for it would not stop", program=child.program.name)
                process.kill()
                process.wait()

    def _tend(self) -> int | None:
        now = self._clock()
        for child in self._children:
            if child.process is None:
                if child.restart_at and now >= child.restart_at:
                    self._spawn(child)
                continue
            status = child.process.poll()
            if status is None:
                continue
            child.process = None
            if status == GIVE_UP:
                return GIVE_UP
            child.falls = 1 if now - child.started_at > STEADY_S else child.falls + 1
            pause = compute_backoff_s(child.falls, first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S)
            child.restart_at = now + pause
            log.warning(
                "a process ended; it is started again",
                program=child.program.name,
                status=status,
                pause_s=pause,
            )
        return None

    def _spawn(self, child: _Child) -> None:
        child.process = subprocess.Popen(
            tether_command(child.program.command),
            env=dict(child.program.environment),
            stdin=subprocess.DEVNULL,
            # A signal of the terminal's goes to us alone; we pass it on in order.
            start_new_session=True,
        )
        child.started_at = self._clock()
        log.debug("started", program=child.program.name, pid=child.process.pid)
