"""Gives a process only the time that others leave, so that training doesn't slow down scoring."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

NICENESS = 19


def lower_priority() -> None:
    """Lower the priority of this process, which must lead a session of its own.

    Where Linux groups processes by session for scheduling, the first two settings count within the
    group only, and the third for the group.
    """
    os.nice(NICENESS)
    with suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(NICENESS), encoding="ascii")
