"""Starts the cameras' processes: one helper process imports everything once, and forks a process
for each camera, which costs milliseconds in the place of a second.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
import threading

import structlog

from service.capture.capture_messages import ANSWER, MAX_JOB_BYTES, CaptureJob
from service.capture.picture_rate import SIGNAL
from service.errors import SourceError

log = structlog.stdlib.get_logger(__name__)

ANSWER_S = 20.0
"""What the helper may need to answer on a busy machine; the first time it imports, too."""
STOP_S = 2.0
PIPE_BYTES = 1024 * 1024


class CaptureProcess:
    """A camera's process: its two pipes, and a handle that never means another process.

    Any thread may call it.
    """

    def __init__(self, pid: int, handle: int, out: int, errors: int) -> None:
        """Args: handle: a pidfd. out, errors: the pipes' reading ends."""
        self.pid = pid
        self.out = out
        self.errors = errors
        self._handle = handle
        self._open = True
        self._lock = threading.Lock()

    @property
    def running(self) -> bool:
        with self._lock:
            return self._open and not _has_ended(self._handle, 0.0)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def look_closely(self) -> None:
        """Have it make more pictures for a while; only once it has sent a frame."""
        self._signal(SIGNAL)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def close(self) -> None:
        """Kill it, wait until it is gone, and close its pipes."""
        self.kill()
        with self._lock:
            if self._open:
                _has_ended(self._handle, STOP_S)
                self._open = False
                for number in (self._handle, self.out, self.errors):
                    os.close(number)

    def _signal(self, number: signal.Signals) -> None:
        with self._lock, contextlib.suppress(ProcessLookupError):
            if self._open:
                signal.pidfd_send_signal(self._handle, number)


def _has_ended(handle: int, timeout_s: float) -> bool:
    waiting = select.poll()
    waiting.register(handle, select.POLLIN)
    return bool(waiting.poll(timeout_s * 1000.0))


class Spawner:
    """Owns the helper process: started when it is first needed, and again when it has died.

    The cameras' processes end with it, and it ends with this one. Any thread may call it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._helper: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """The helper's process, if there is one."""
        helper = self._helper
        return None if helper is None else helper.pid

    def warm_up(self) -> None:
        """Start the helper ahead, so that the first camera needn't wait for its imports.

        Raises: OSError: it can't be started now.
        """
        with self._lock:
            self._connect()

    def spawn(self, job: CaptureJob) -> CaptureProcess:
        """Start a camera's process. Raises: SourceError, OSError: none can be started now."""
        ours: list[int] = []
        theirs: list[int] = []
        try:
            for _ in ("messages", "what it prints"):
                reading, writing = os.pipe()
                ours.append(reading)
                theirs.append(writing)
            with contextlib.suppress(OSError):  # the user's pipes may be at their limit
                fcntl.fcntl(ours[0], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            for number in ours:  # one thread reads all cameras: no pipe may hold it up
                os.set_blocking(number, False)
            pid, handle = self._ask(job.to_line(), theirs)
        except BaseException:
            for number in ours:
                os.close(number)
            raise
        finally:
            for number in theirs:
                os.close(number)
        return CaptureProcess(pid, handle, *ours)

    def close(self) -> None:
        """End the helper, and with it the cameras' processes."""
        with self._lock:
            self._end()

    def _ask(self, line: bytes, pipes: list[int]) -> tuple[int, int]:
        if len(line) > MAX_JOB_BYTES:
            raise SourceError("the source is too long")
        with self._lock:
            for last in (False, True):
                try:
                    asked = self._connect()
                    socket.send_fds(asked, [line], pipes)
                    data, handles, _, _ = socket.recv_fds(asked, ANSWER.size, 1)
                except TimeoutError:
                    self._end()
                    raise SourceError("no process could be started in time") from None
                except OSError:
                    data, handles = b"", []
                if len(data) == ANSWER.size:
                    if not handles:  # one of us is out of files or memory; it may pass
                        raise SourceError("no process could be started")
                    return int(ANSWER.unpack(data)[0]), handles[0]
                self._end()
                if not last:
                    log.warning("the helper that starts capture processes is gone; a new one comes")
        raise SourceError("no process could be started")

    def _connect(self) -> socket.socket:
        if self._socket is not None:
            return self._socket
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(ANSWER_S)
        with theirs:
            self._helper = subprocess.Popen(
                [sys.executable, "-P", "-m", "service.capture"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                # A signal of the terminal's is for the worker, which then ends its cameras.
                start_new_session=True,
                # NumPy would start a thread for each core, of which a camera has no use; and the
                # worker's allocator settings, none at all, are for PyTorch.
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "GLIBC_TUNABLES": ""},
            )
        self._socket = ours
        return ours

    def _end(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._helper is not None:
            self._helper.kill()
            self._helper.wait()
            self._helper = None


_SHARED = Spawner()
atexit.register(_SHARED.close)


def shared_spawner() -> Spawner:
    """The one that all cameras of this process share."""
    return _SHARED
