"""One camera's process. Its job is the first line of standard input (an argument would show its
credentials to everybody); it ends when standard input does, for then its parent is gone.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

import av.logging
import cv2

from service.capture.locations import Kind, kind_of
from service.capture.opening import OpenError
from service.capture.playback import Playback
from service.capture.wire import CaptureJob, Failed, send

_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Play the source until it ends or fails, or the parent goes."""
    _die_with_parent()
    job = CaptureJob.from_line(sys.stdin.buffer.readline())
    out = os.dup(sys.stdout.fileno())
    # Whatever prints goes to the log, not between the messages.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    threading.Thread(target=_watch_parent, daemon=True).start()
    av.logging.set_level(None)
    cv2.setNumThreads(1)
    try:
        _play(job, out)
    except BrokenPipeError:
        os._exit(0)
    return 0


def _play(job: CaptureJob, out: int) -> None:
    try:
        for message in Playback(job).messages():
            send(out, message)
    except OpenError as error:
        lasting = kind_of(job.location) is not Kind.NETWORK
        send(out, Failed(error.reason, permanent=lasting))


def _die_with_parent() -> None:
    """For a decoder that hangs, and can't notice that its parent has gone."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _watch_parent() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
