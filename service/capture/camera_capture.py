"""The parent's side of one camera: its process, watched and started again, and a ring of frames."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

import structlog

from model.footage.footage_error import SourceFault
from model.footage.gaps import Gaps
from model.footage.locations import Location
from service.capture.backoff import Backoff
from service.capture.capture_messages import (
    CapturedFrame,
    CaptureJob,
    Ended,
    Failed,
    Frozen,
    LostFrames,
    Message,
    MessageDecoder,
    usual_gap_s,
)
from service.capture.pipes import shared_reader
from service.capture.port_check import unreachable
from service.capture.ring import Ring
from service.capture.spawner import CaptureProcess, Spawner, shared_spawner
from service.errors import SourceError
from service.logs import hide_secrets

log = structlog.stdlib.get_logger(__name__)

MARGIN_S = 3.0
"""What a process may need, on a busy machine, beyond its source's time limits."""
STOP_S = 1.0
CLOSELY_EVERY_S = 1.0
"""A process that was asked for more pictures makes them for some seconds."""
LOG_BYTES = 64 * 1024
READS = 16
"""Of one camera's pipe before the others' turn."""
LOG_LINES = 20
"""Lines of a process's standard error that are logged; a chatty library can't fill the log."""


class CaptureState(StrEnum):
    """The states of a camera's capture."""

    CONNECTING = "connecting"
    PLAYING = "playing"
    STALLED = "stalled"
    """Connected, but no frame has come for a while."""
    FROZEN = "frozen"
    """Frames come, but it is the same picture again and again, or time stands still in them."""
    DOWN = "down"
    ENDED = "ended"
    FAILED = "failed"
    """It can't be read as it is, until somebody changes something. It is tried again at times."""


@dataclass(frozen=True, slots=True)
class CaptureStatus:
    """How the capture is doing."""

    state: CaptureState = CaptureState.CONNECTING
    reason: str = ""
    captured: int = 0
    """Frames, with those that the ring dropped and those of a frozen camera."""
    dropped: int = 0
    """By the ring."""
    reconnects: int = 0
    """Attempts after the first."""
    frozen: int = 0
    """Captured frames that were withheld, being the same picture as those before."""
    lost: int = 0
    """Captured frames that couldn't be decoded."""


@dataclass(slots=True)
class _Run:
    """One process, from its start to its end."""

    process: CaptureProcess
    patience_until: float
    gaps: Gaps
    playing_since: float | None = None
    failure: Failed | None = None
    ended: bool = False
    lines: int = 0
    printed: bytes = b""
    """The beginning of a line on standard error."""
    over: threading.Event = field(default_factory=threading.Event)
    """The process has closed its pipe, or sent what is no message."""


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
        spawner: Spawner | None = None,
    ) -> None:
        self._job = job
        self.ring = Ring(ring_frames)
        self._on_frame = on_frame
        self._backoff = backoff or Backoff()
        self._spawner = spawner or shared_spawner()
        self._status = CaptureStatus()
        self._stalls_at: float | None = None
        """Without another picture until then (monotonic), the camera is stalled."""
        self._pictured_at = 0.0
        self._pictured_by: int | None = None
        """The process that has sent a frame."""
        self._closely_at = 0.0
        self._stop = threading.Event()
        self._process: CaptureProcess | None = None
        self._handing_over = threading.Lock()
        self._location = Location.parse(job.location)
        self._name = self._location.redacted
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def pop(self) -> CapturedFrame | None:
        """The oldest waiting frame, or None."""
        return self.ring.pop()

    @property
    def status(self) -> CaptureStatus:
        status = replace(self._status, dropped=self.ring.dropped)
        stalls_at, now = self._stalls_at, time.monotonic()
        if stalls_at is None or now < stalls_at:
            return status
        silent_s = now - self._pictured_at
        return replace(
            status, state=CaptureState.STALLED, reason=f"no picture for {silent_s:.0f} s"
        )

    @property
    def pid(self) -> int | None:
        """The camera's process, if there is one now."""
        process = self._process
        return process.pid if process is not None and process.running else None

    def look_closely(self) -> None:
        """Have pictures of all frames made for the next seconds, as far as the job wants them."""
        now, process = time.monotonic(), self._process
        # A process that has just begun doesn't listen yet, and the signal would end it.
        if process is None or self._pictured_by != process.pid or now < self._closely_at:
            return
        self._closely_at = now + CLOSELY_EVERY_S
        process.look_closely()

    def stop(self) -> None:
        """Ask the process to end; returns at once. `close` waits."""
        self._stop.set()
        with self._handing_over:
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
        while not self._stop.is_set():
            try:
                failure, steady_s = self._play_once()
            except Exception:
                log.exception("a camera's reader failed", source=self._name)
                failure, steady_s = Failed("the capture failed", SourceFault.UNREACHABLE), 0.0
            self._stalls_at = None
            if self._stop.is_set():
                return
            if failure is None:
                self._set_state(CaptureState.ENDED)
                return
            self._pause(failure, steady_s)

    def _pause(self, failure: Failed, steady_s: float) -> None:
        pause_s = self._backoff.next_s(
            steady_s=steady_s, fault=failure.fault, is_live=self._location.is_live
        )
        is_away = failure.fault is SourceFault.UNREACHABLE
        state = CaptureState.DOWN if is_away else CaptureState.FAILED
        if (self._status.state, self._status.reason) != (state, failure.reason):
            # Once: a camera may be away for days.
            log.warning(
                "a source can't be read; it is tried again",
                source=self._name,
                reason=failure.reason,
                pause_s=round(pause_s, 2),
            )
        self._set_state(state, failure.reason)
        if not self._stop.wait(pause_s):
            self._status = replace(self._status, reconnects=self._status.reconnects + 1)

    def _play_once(self) -> tuple[Failed | None, float]:
        """Play until it fails, and for how long pictures had come; no failure where it ended."""
        job = self._job
        if reason := unreachable(self._location, job.connect_timeout_s, self._stop):
            return Failed(reason, SourceFault.UNREACHABLE), 0.0
        try:
            process = self._spawn()
        except (SourceError, OSError) as error:
            return Failed(f"the capture can't start: {error}", SourceFault.UNREACHABLE), 0.0
        patience_s = job.connect_timeout_s + job.read_timeout_s + MARGIN_S
        run = _Run(process, time.monotonic() + patience_s, Gaps(usual_gap_s(job)))
        try:
            self._pump(run)
        finally:
            process.close()
        if run.ended:
            return None, 0.0
        failure = run.failure or Failed(
            "the capture process ended unexpectedly", SourceFault.UNREACHABLE
        )
        since = run.playing_since
        return failure, 0.0 if since is None else time.monotonic() - since

    def _spawn(self) -> CaptureProcess:
        process = self._spawner.spawn(self._job)
        with self._handing_over:
            self._process = process
            if self._stop.is_set():
                process.terminate()
        return process

    def _pump(self, run: _Run) -> None:
        """Have the process's messages taken until it ends, or says nothing for too long."""
        out, errors = run.process.out, run.process.errors
        decoder, reader = MessageDecoder(), shared_reader()
        reader.add(out, lambda: self._read(run, decoder, out))
        reader.add(errors, lambda: self._read_errors(run, errors))
        try:
            while (rest_s := run.patience_until - time.monotonic()) > 0:
                if run.over.wait(rest_s):
                    return
            run.failure = Failed("no answer in time", SourceFault.UNREACHABLE)
        finally:
            reader.remove(out)
            reader.remove(errors)
            # A crash's last words may still be in the pipe.
            self._read_errors(run, errors)
            self._log_lines(run, run.printed)

    def _read(self, run: _Run, decoder: MessageDecoder, pipe: int) -> None:
        try:
            for _ in range(READS):
                count = os.readv(pipe, [decoder.room()])
                if not count:
                    break
                message = decoder.accept(count)
                if message is not None:
                    self._receive(run, message)
            else:
                return  # the other cameras' turn
        except BlockingIOError:
            return
        except Exception as error:
            if not isinstance(error, SourceError):
                log.exception("a camera's messages can't be read", source=self._name)
            run.failure = Failed(str(error), SourceFault.UNREACHABLE)
        shared_reader().remove(pipe)
        run.over.set()

    def _read_errors(self, run: _Run, pipe: int) -> None:
        """Log the whole lines that the process has printed; the rest, when it has ended."""
        try:
            data = os.read(pipe, LOG_BYTES)
        except BlockingIOError:
            return
        whole, newline, rest = (run.printed + data).rpartition(b"\n")
        run.printed = rest[-LOG_BYTES:] if data else b""
        self._log_lines(run, whole + newline + (b"" if data else rest))
        if not data:
            shared_reader().remove(pipe)

    def _receive(self, run: _Run, message: Message) -> None:
        now = time.monotonic()
        run.patience_until = now + self._job.read_timeout_s + MARGIN_S
        if isinstance(message, CapturedFrame):
            self._note_picture(run, now)
            count = self._status.captured
            self.ring.push(
                message if message.sequence == count else replace(message, sequence=count)
            )
            state = CaptureState.PLAYING
            self._status = replace(self._status, captured=count + 1, state=state, reason="")
            self._on_frame()
        elif isinstance(message, Frozen):
            self._note_picture(run, now)
            self._status = replace(
                self._status,
                captured=self._status.captured + message.frames,
                frozen=self._status.frozen + message.frames,
                state=CaptureState.FROZEN,
                reason=message.reason,
            )
            self._on_frame()
        elif isinstance(message, LostFrames):
            self._status = replace(
                self._status,
                captured=self._status.captured + message.frames,
                lost=self._status.lost + message.frames,
            )
        elif isinstance(message, Failed):
            run.failure = message
        elif isinstance(message, Ended):
            run.ended = True

    def _note_picture(self, run: _Run, now: float) -> None:
        """A picture has come, or word of some."""
        if run.playing_since is None:
            run.playing_since = now
        run.gaps.add(now)
        self._pictured_at = now
        self._pictured_by = run.process.pid
        self._stalls_at = now + run.gaps.silence_s

    def _set_state(self, state: CaptureState, reason: str = "") -> None:
        self._status = replace(self._status, state=state, reason=reason)
        self._on_frame()

    def _log_lines(self, run: _Run, data: bytes) -> None:
        for line in data.decode(errors="replace").splitlines():
            run.lines += 1
            if run.lines <= LOG_LINES:
                text = hide_secrets(line.replace(self._job.location, self._name))
                log.warning("a capture process says", source=self._name, line=text)
