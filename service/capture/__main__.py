"""The helper that forks a process for each camera, on request over its standard input, a Unix
socket: what arrives is a job and two pipes (an argument would show its credentials to everybody).
It has one thread, and ends when the socket does, for then its worker is gone.
"""

from __future__ import annotations

import ctypes
import gc
import os
import selectors
import signal
import socket
import sys
import traceback

import av.logging
import cv2

from model.footage.footage_error import FootageError
from service.capture.capture_messages import ANSWER, MAX_JOB_BYTES, CaptureJob, send
from service.capture.picture_rate import Closely
from service.capture.playback import Playback, failure_of

_PR_SET_PDEATHSIG = 1
PIPES = 2


def main() -> int:
    """Serve until the socket's other end closes."""
    av.logging.set_level(None)
    cv2.setNumThreads(1)
    # What was made so far stays: the garbage collector of a forked process would copy its pages.
    gc.collect()
    gc.freeze()
    requests = socket.socket(fileno=sys.stdin.fileno())
    with selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not requests:
                    _reap(selector, key)
                elif not _serve(requests, selector):
                    return 0


def _serve(requests: socket.socket, selector: selectors.BaseSelector) -> bool:
    """Fork as one request says; whether there may be more."""
    line, pipes, _, _ = socket.recv_fds(requests, MAX_JOB_BYTES, PIPES)
    if not line:
        return False
    try:
        pid, handle = _fork(line, pipes)
    except OSError:  # out of processes, files or memory: the other cameras go on
        traceback.print_exc()
        requests.send(ANSWER.pack(0))
        return True
    finally:
        for pipe in pipes:
            os.close(pipe)
    selector.register(handle, selectors.EVENT_READ, pid)
    socket.send_fds(requests, [ANSWER.pack(pid)], [handle])
    return True


def _fork(line: bytes, pipes: list[int]) -> tuple[int, int]:
    """The new process's id and handle."""
    if len(pipes) != PIPES:
        raise OSError("the pipes of a camera's process did not arrive")
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _be_camera(line, pipes, parent)
    try:
        # It isn't reaped yet, so the handle can only be its own.
        return pid, os.pidfd_open(pid)
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def _reap(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    selector.unregister(key.fileobj)
    os.waitpid(key.data, 0)
    os.close(key.fd)


def _be_camera(line: bytes, pipes: list[int], parent: int) -> None:
    """What a forked process does; never returns."""
    code = 1
    try:
        out = _own_files(*pipes)
        os.setsid()
        _die_with(parent)
        _play(CaptureJob.from_line(line), out)
        code = 0
    except BrokenPipeError:
        code = 0
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(code)


def _own_files(out: int, errors: int) -> int:
    """Keep the two pipes alone; what is printed goes to the second. Returns the first's number."""
    out, errors = os.dup(out), os.dup(errors)  # neither has one of the numbers below any more
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(errors, 1)
    os.dup2(errors, 2)
    os.dup2(out, 3)
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))
    return 3


def _die_with(parent: int) -> None:
    """End with the parent: a decoder that hangs can't notice that it has gone."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _play(job: CaptureJob, out: int) -> None:
    closely = Closely()
    closely.listen()
    playback = Playback(job, closely=closely)
    try:
        for message in playback.messages():
            send(out, message)
    except FootageError as error:
        send(out, failure_of(job, error, playback.frames))


if __name__ == "__main__":
    sys.exit(main())
