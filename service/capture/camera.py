"""The parent's side of one camera: its process, watched and started again, and a ring of frames."""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

import structlog

from model.footage import hide_credentials
from service.capture.backoff import Backoff
from service.capture.ring import Ring
from service.capture.wire import (
    Alive,
    CapturedFrame,
    CaptureJob,
    Connected,
    Decoder,
    Ended,
    Failed,
    Message,
)
from service.errors import SourceError
from service.logs import hide_secrets

log = structlog.stdlib.get_logger(__name__)

START_S = 20.0
"""What a process may need to start, on a busy machine, beyond its source's time limits."""
MARGIN_S = 5.0
STOP_S = 1.0
PIPE_BYTES = 1024 * 1024
LOG_BYTES = 64 * 1024
LOG_LINES = 20
"""Lines of a process's standard error that are logged; a chatty library can't fill the log."""


class CaptureState(StrEnum):
    """Where a camera's capture is."""

    CONNECTING = "connecting"
    PLAYING = "playing"
    STALLED = "stalled"
    """Connected, but no frame has come for a while."""
    FROZEN = "frozen"
    """Frames come, but it is the same picture again and again, or time stands still in them."""
    DOWN = "down"
    ENDED = "ended"
    FAILED = "failed"
    """It can't be read as it is; tried again now and then."""


@dataclass(frozen=True, slots=True)
class CaptureStatus:
    """How the capture is doing."""

    state: CaptureState = CaptureState.CONNECTING
    reason: str = ""
    captured: int = 0
    dropped: int = 0
    reconnects: int = 0
    """Attempts after the first."""
    frozen: int = 0
    """Captured frames that were withheld, being the same picture as those before."""


@dataclass(slots=True)
class _Run:
    """One process, from its start to its end."""

    process: subprocess.Popen[bytes]
    patience_until: float
    playing_since: float | None = None
    failure: Failed | None = None
    ended: bool = False
    lines: int = 0


class CameraCapture:
    """Captures one camera for as long as it is open. Any thread may call it.

    A frame's sequence goes on rising over reconnections.
    """

    def __init__(
        self,
        job: CaptureJob,
        *,
        ring_frames: int,
        on_frame: Callable[[], object] = lambda: None,
        backoff: Backoff | None = None,
    ) -> None:
        self._job = job
        self._ring = Ring(ring_frames)
        self._on_frame = on_frame
        self._backoff = backoff or Backoff()
        self._status = CaptureStatus()
        self._stop = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._spawning = threading.Lock()
        self._name = hide_credentials(job.location)
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def pop(self) -> CapturedFrame | None:
        """The oldest waiting frame, or None."""
        return self._ring.pop()

    def pop_stale(self, before: float) -> list[CapturedFrame]:
        """The waiting frames that were captured before a time, but never the newest one."""
        return self._ring.pop_stale(before)

    @property
    def waiting(self) -> int:
        """Frames in the ring."""
        return len(self._ring)

    @property
    def status(self) -> CaptureStatus:
        """State and counters, as of now."""
        return replace(self._status, dropped=self._ring.dropped)

    @property
    def pid(self) -> int | None:
        """The camera's process, if there is one now."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def stop(self) -> None:
        """Ask the process to end; returns at once. `close` waits."""
        self._stop.set()
        with self._spawning:
            if self._process is not None:
                self._process.terminate()

    def close(self) -> None:
        """End the process, by force after a second, and wait for it."""
        self.stop()
        if self._thread.ident is None:
            return
        self._thread.join(STOP_S)
        if self._thread.is_alive():
            process = self._process
            if process is not None:
                process.kill()
            self._thread.join(STOP_S)

    def _run(self) -> None:
        try:
            self._keep_playing()
        except Exception:
            log.exception("a camera's reader failed", source=self._name)
            self._tell(CaptureState.FAILED, "the capture failed; see the log")

    def _keep_playing(self) -> None:
        while not self._stop.is_set():
            run = self._play_once()
            if self._stop.is_set():
                return
            if run.ended:
                self._tell(CaptureState.ENDED)
                return
            failure = run.failure or Failed("the capture process ended unexpectedly", False)
            since = run.playing_since
            steady_s = 0.0 if since is None else time.monotonic() - since
            pause_s = self._backoff.next_s(steady_s=steady_s, permanent=failure.permanent)
            self._tell(
                CaptureState.FAILED if failure.permanent else CaptureState.DOWN, failure.reason
            )
            log.warning(
                "a source can't be read; it is tried again",
                source=self._name,
                reason=failure.reason,
                pause_s=round(pause_s, 2),
            )
            self._stop.wait(pause_s)
            self._status = replace(self._status, reconnects=self._status.reconnects + 1)

    def _play_once(self) -> _Run:
        job = self._job
        run = _Run(self._spawn(), time.monotonic() + START_S + job.connect_timeout_s)
        try:
            self._pump(run)
        finally:
            run.process.kill()
            run.process.wait()
            for pipe in (run.process.stdin, run.process.stdout, run.process.stderr):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
        return run

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._spawning:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "service.capture"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                # A signal of the terminal's is for the worker, which then ends its cameras.
                start_new_session=True,
                # NumPy would start a thread for each core, of which a camera has no use; and the
                # worker's allocator settings, none at all, are for PyTorch.
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "GLIBC_TUNABLES": ""},
            )
            self._process = process
            if self._stop.is_set():
                process.terminate()
        if process.stdin is not None and process.stdout is not None:
            with contextlib.suppress(OSError):
                process.stdin.write(self._job.to_line())
            with contextlib.suppress(OSError):
                fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            os.set_blocking(process.stdout.fileno(), False)
        return process

    def _pump(self, run: _Run) -> None:
        """Take the process's messages until it ends, or says nothing for too long."""
        out, errors = run.process.stdout, run.process.stderr
        if out is None or errors is None:
            return
        decoder = Decoder()
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            selector.register(errors, selectors.EVENT_READ)
            while True:
                rest_s = run.patience_until - time.monotonic()
                if rest_s <= 0:
                    run.failure = Failed("no answer in time", False)
                    return
                for key, _ in selector.select(rest_s):
                    if key.fileobj is out:
                        if not self._read(run, decoder, key.fd):
                            return
                        continue
                    data = os.read(key.fd, LOG_BYTES)
                    self._log_lines(run, data)
                    if not data:
                        selector.unregister(errors)

    def _read(self, run: _Run, decoder: Decoder, pipe: int) -> bool:
        """Take what is in the pipe now; whether there may be more later."""
        try:
            while count := os.readv(pipe, [decoder.room()]):
                message = decoder.filled(count)
                if message is not None:
                    self._receive(run, message)
        except BlockingIOError:
            return True
        except SourceError as error:
            run.failure = Failed(str(error), False)
        return False

    def _receive(self, run: _Run, message: Message) -> None:
        now = time.monotonic()
        run.patience_until = now + self._job.read_timeout_s + MARGIN_S
        if isinstance(message, CapturedFrame):
            if run.playing_since is None:
                run.playing_since = now
            count = self._status.captured
            self._ring.push(replace(message, sequence=count))
            state = CaptureState.PLAYING
            self._status = replace(self._status, captured=count + 1, state=state, reason="")
            self._on_frame()
        elif isinstance(message, Failed):
            run.failure = message
        elif isinstance(message, Ended):
            run.ended = True
        elif isinstance(message, Connected | Alive):
            return

    def _tell(self, state: CaptureState, reason: str = "") -> None:
        self._status = replace(self._status, state=state, reason=reason)
        self._on_frame()

    def _log_lines(self, run: _Run, data: bytes) -> None:
        for line in data.decode(errors="replace").splitlines():
            run.lines += 1
            if run.lines <= LOG_LINES:
                text = hide_secrets(line.replace(self._job.location, self._name))
                log.warning("a capture process says", source=self._name, line=text)
