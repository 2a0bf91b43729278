"""Training leaves the processor to scoring."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os
from pathlib import Path
from service.learn.priority import lower_priority
lower_priority()
group = Path("/proc/self/autogroup")
print(os.nice(0), os.sched_getscheduler(0), group.read_text().split()[-1] if group.exists() else 19)
"""


def test_a_process_of_a_learning_takes_only_the_time_that_others_leave() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert done.stdout.split() == ["19", str(os.SCHED_IDLE), "19"]
