"""Run as a script: ties the process to its parent, then becomes the given command.

When the parent is killed, the kernel sends SIGTERM, so that a killed `normwatch serve` leaves
nothing behind. (A `preexec_fn` would do the same, but is unsafe in a process with threads.)
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def tethered(command: Sequence[str]) -> list[str]:
    """The command line that runs `command` tied to whoever starts it."""
    if not sys.platform.startswith("linux"):
        return list(command)
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def _main() -> None:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it was killed before we asked to be told
        sys.exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    _main()
