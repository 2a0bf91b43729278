"""A script that ties its process to its parent, then becomes the given command.

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


def tether_command(command: Sequence[str]) -> list[str]:
    """Return the command line that runs `command` tied to its parent."""
    if not sys.platform.startswith("linux"):
        return list(command)
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def _main() -> None:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # the parent was killed before prctl
        sys.exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    _main()
