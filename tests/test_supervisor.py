"""The supervisor, on real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from service.supervisor import GIVE_UP, SupervisedProgram, Supervisor
from tests.support.servers import wait_for

SLEEPER = (sys.executable, "-c", "import time; time.sleep(600)")


def _program(name: str, command: tuple[str, ...]) -> SupervisedProgram:
    return SupervisedProgram(name, command, os.environ)


def _children() -> list[psutil.Process]:
    return psutil.Process().children()


def test_a_killed_program_is_started_again_and_stop_ends_all() -> None:
    before = {child.pid for child in _children()}
    supervisor = Supervisor([_program("a", SLEEPER), _program("b", SLEEPER)])
    stop = threading.Event()
    assert supervisor.start(stop) is None
    first = {child.pid for child in _children()} - before
    assert len(first) == 2
    running = threading.Thread(target=supervisor.run, args=(stop,))
    running.start()
    victim = min(first)
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: len({c.pid for c in _children()} - before - {victim}) == 2, "a new process")
    stop.set()
    running.join(10)
    supervisor.stop()
    assert {child.pid for child in _children()} <= before


def test_a_program_with_wrong_settings_is_not_started_again() -> None:
    wrong = _program("wrong", (sys.executable, "-c", f"raise SystemExit({GIVE_UP})"))
    supervisor = Supervisor([wrong])
    stop = threading.Event()
    status = supervisor.start(stop)
    assert (supervisor.run(stop) if status is None else status) == GIVE_UP
    supervisor.stop()


def test_the_next_program_waits_for_the_one_before(tmp_path: Path) -> None:
    ready, seen = tmp_path / "ready", tmp_path / "seen"
    script = f"import time, pathlib; time.sleep(0.5); pathlib.Path({str(ready)!r}).touch()"
    first = SupervisedProgram(
        "first", (sys.executable, "-c", f"{script}; time.sleep(600)"), os.environ, ready.exists
    )
    check = (
        "from pathlib import Path; "
        f"Path({str(seen)!r}).write_text(str(Path({str(ready)!r}).exists()))"
    )
    second = _program("second", (sys.executable, "-c", f"{check}; import time; time.sleep(600)"))
    supervisor = Supervisor([first, second])
    assert supervisor.start(threading.Event()) is None
    wait_for(lambda: seen.exists() and seen.read_text(), "the second program")
    supervisor.stop()
    assert seen.read_text() == "True"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a signal of Linux's kernel")
def test_a_killed_supervisor_leaves_nothing_behind(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        "import os, sys, threading\n"
        "from service.supervisor import SupervisedProgram, Supervisor\n"
        "sleeper = (sys.executable, '-c', 'import time; time.sleep(600)')\n"
        "supervisor = Supervisor([SupervisedProgram('a', sleeper, os.environ)])\n"
        "stop = threading.Event()\n"
        "supervisor.start(stop)\n"
        "child = supervisor._children[0].process\n"
        f"open({str(pids)!r}, 'w').write(str(child.pid))\n"
        "supervisor.run(stop)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    wait_for(lambda: pids.exists() and pids.read_text(), "the child")
    child = psutil.Process(int(pids.read_text()))
    wait_for(lambda: "sleep" in " ".join(child.cmdline()[-1:]), "the child's own program")
    parent.kill()
    parent.wait()
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "its end")
