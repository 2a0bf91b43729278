"""What processes use, seen from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from service.tools.bench.process_usage import BENCHMARK, UsageWatch, find_descendants
from tests.support.servers import wait_for

BUSY = "print(flush=True)\nwhile True: pass"
GROWS = "import time; print(flush=True); input(); b = bytearray(b'x' * 2**26)\nprint(flush=True)\n"


@contextmanager
def _running(code: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def test_processor_time_is_told_by_part() -> None:
    with _running(BUSY) as busy, _running("print(flush=True); input()") as idle:
        watch = UsageWatch(lambda: {busy.pid: "busy", idle.pid: "idle", os.getpid(): BENCHMARK})

        def sampled() -> bool:
            watch.sample()
            seen = watch.finish()
            # Processes and processors are counted in ticks of their own, which come apart.
            return seen.cores["busy"] > 0.0 and seen.busy_share > 0.0

        wait_for(sampled, "processor time of a busy process")
        usage = watch.finish()
    assert usage.cores["busy"] > usage.cores["idle"]
    assert 0.0 < usage.busy_share <= 1.0
    assert BENCHMARK in usage.cores
    assert {each.part for each in usage.memory} == {"busy", "idle"}


def test_growing_memory_is_told_by_process() -> None:
    with _running(GROWS + "input()") as process:
        assert process.stdin is not None and process.stdout is not None
        watch = UsageWatch(lambda: {process.pid: "grower"})
        process.stdin.write("\n")
        process.stdin.flush()
        process.stdout.readline()
        time.sleep(0.05)
        (memory,) = watch.finish().memory
    assert memory.growth_mb > 50.0
    assert memory.part == "grower"


def test_a_process_that_comes_later_counts_from_its_start_and_one_that_ends_does_no_harm() -> None:
    parts: dict[int, str] = {}
    watch = UsageWatch(lambda: parts)
    with _running(BUSY) as late:
        parts[late.pid] = "late"

        def used() -> bool:
            watch.sample()
            return watch.finish().cores.get("late", 0.0) > 0.0

        wait_for(used, "processor time of the late process")
    watch.sample()
    usage = watch.finish()
    assert usage.cores["late"] > 0.0
    assert usage.memory == []


def test_descendants_are_found_with_their_parts() -> None:
    with _running("print(flush=True); input()") as child:
        found = find_descendants(os.getpid(), lambda process: str(process.pid))
        assert found[child.pid] == str(child.pid)
        assert found[os.getpid()] == str(os.getpid())
    assert find_descendants(child.pid, lambda process: "gone") == {}
