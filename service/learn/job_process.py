"""The learner's side of the process that judges footage, trains and checks for one learning."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog
from pydantic import ValidationError

from service.learn.work_order import WorkOrder
from service.learning_messages import LearningStatus
from service.tether import tether_command

log = structlog.stdlib.get_logger(__name__)

MOST_DEATHS = 3
"""A process that dies so often without progress isn't started again."""
RESTART_S = 1.0
"""Until it is started again."""
STOP_S = 10.0
"""A process that was asked to end may take so long to save its checkpoint."""


class JobProcess:
    """A running process. It ends with the thread that started it, even if that is killed."""

    def __init__(
        self, folder: Path, order: WorkOrder, on_status: Callable[[LearningStatus], object]
    ) -> None:
        """Start the process. Args: on_status: gets what it reports, in another thread.

        Raises: OSError: it can't be started.
        """
        # -P: a `model/` or `service/` in the working directory must not shadow the installed ones.
        command = [sys.executable, "-P", "-m", "service", "learn-job", str(folder)]
        self._process = subprocess.Popen(
            tether_command(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._on_status = on_status
        self._reader = threading.Thread(target=self._read, name="learn-job", daemon=True)
        self._reader.start()
        if self._process.stdin is not None:
            with suppress(BrokenPipeError), self._process.stdin as pipe:
                pipe.write(order.model_dump_json())

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def wait(self, timeout_s: float) -> bool:
        """Wait until it has ended and all its reports were taken. Returns whether that is so."""
        self._reader.join(timeout_s)
        if self._reader.is_alive():
            return False
        self._process.wait()
        return True

    @property
    def succeeded(self) -> bool:
        """Returns whether it has ended as it should."""
        return self._process.returncode == 0

    def stop(self) -> None:
        """End it: it saves its checkpoint, and is killed if that takes too long."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self.wait(STOP_S)

    def _read(self) -> None:
        pipe = self._process.stdout
        if pipe is None:
            return
        with pipe:
            for line in pipe:
                try:
                    status = LearningStatus.model_validate_json(line)
                except ValidationError:
                    log.warning("a learning's process printed something", line=line.rstrip())
                    continue
                self._on_status(status)
