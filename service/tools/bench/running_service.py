"""Runs `normwatch serve` for the benchmark, on a data folder of its own, and uses its API."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import httpx
import psutil
from pydantic import BaseModel

from service.messages import StreamState
from service.tether import tether_command
from service.tools.bench.load import TimedFrame, wait_until
from service.tools.bench.stage_split import CpuCounters

MODEL = "bench"
PAGE = 10_000
STOP_S = 30.0
OWN = (
    *("REDIS_URL", "DATABASE_URL"),
    *(f"NORMWATCH_{name}" for name in ("REDIS_URL", "DATABASE_URL", "API_KEYS", "HOST", "PORT")),
)
"""The user's settings that this service must not have, next to the user's own service."""
READY = "normwatch is at "


class CameraStatus(BaseModel):
    """A camera's status in the API's answer."""

    state: StreamState
    reason: str
    captured: int
    scored: int
    dropped: dict[str, int]

    @property
    def unaccounted(self) -> int:
        """Captured frames that were neither scored nor dropped yet."""
        return self.captured - self.scored - sum(self.dropped.values())


class _Stream(BaseModel):
    id: str
    status: CameraStatus


class _Streams(BaseModel):
    items: list[_Stream]


class _Score(BaseModel):
    frame: int
    captured_at: datetime
    scored_at: datetime
    score: float | None
    threshold: float | None
    state: StreamState

    @property
    def abnormal(self) -> bool | None:
        """Is true where the score reaches the threshold; None where either is missing."""
        if self.score is None or self.threshold is None:
            return None
        return self.score >= self.threshold


class _Scores(BaseModel):
    items: list[_Score]
    next: int | None


class RunningService:
    """A running service with its cameras."""

    def __init__(self, url: str, pid: int, started_s: float) -> None:
        self.pid = pid
        self.started_s = started_s
        """Seconds from the start of its process until it answered."""
        self._client = httpx.Client(base_url=url, timeout=60.0, trust_env=False)
        self._ids: list[str] = []
        self._read: dict[str, int] = {}
        self._live: set[str] = set()
        self.rows: Counter[int] = Counter()
        """Number of scores that were read, by camera, those without a value included."""

    def close(self) -> None:
        """Close the connection to the API."""
        self._client.close()

    def register(self, source: str, fps: float) -> None:
        """Register a camera. Raises: ChildProcessError: the service refuses it."""
        name = f"camera {len(self._ids) + 1}"
        body = {"name": name, "source": source, "model": MODEL, "fps": fps}
        answer = self._client.post("/streams", json=body)
        if not answer.is_success:
            raise ChildProcessError(f"the service refuses a camera: {answer.text}")
        self._ids.append(str(answer.json()["id"]))

    def take(self) -> list[TimedFrame]:
        """Read the scores that are new since the last call.

        A camera's frames before its first score are left out, because they cost next to nothing;
        those without a value after a change of the light aren't: the network runs for them.
        """
        return self._take(self._ids)

    def _take(self, stream_ids: Collection[str]) -> list[TimedFrame]:
        found: list[TimedFrame] = []
        for camera, stream_id in enumerate(self._ids):
            if stream_id not in stream_ids:
                continue
            after: int | None = self._read.get(stream_id, -1)
            while after is not None:
                page = self._read_page(stream_id, after)
                self.rows[camera] += len(page.items)
                for each in page.items:
                    captured, scored = each.captured_at.timestamp(), each.scored_at.timestamp()
                    self._read[stream_id] = each.frame
                    if each.state is StreamState.LIVE:
                        self._live.add(stream_id)
                    if stream_id in self._live:
                        found.append(TimedFrame(camera, captured, scored, each.abnormal))
                after = page.next
        return found

    def _read_page(self, stream_id: str, after: int) -> _Scores:
        answer = self._client.get(
            f"/streams/{stream_id}/scores", params={"after": after, "limit": PAGE}
        )
        return _Scores.model_validate_json(answer.raise_for_status().content)

    def _read_streams(self) -> list[_Stream]:
        answer = self._client.get("/streams").raise_for_status()
        return _Streams.model_validate_json(answer.content).items

    def are_all_live(self) -> bool:
        """Return whether every camera has had a score; asks only about those that had none yet."""
        self._take(set(self._ids) - self._live)
        return len(self._live) == len(self._ids)

    def describe_missing_score(self) -> str:
        """Say why a camera has no score."""
        for number, stream in enumerate(self._read_streams()):
            if stream.id not in self._live:
                status = stream.status
                return f"camera {number + 1} has no score: {status.state}, {status.reason}"
        return "cameras have no scores"

    def read_statuses(self) -> list[CameraStatus]:
        """Read the statuses of all cameras, in the order of their registration."""
        found = {stream.id: stream.status for stream in self._read_streams()}
        return [found[stream_id] for stream_id in self._ids]

    def pause(self) -> None:
        """Pause all cameras."""
        for stream_id in self._ids:
            self._client.patch(f"/streams/{stream_id}", json={"paused": True}).raise_for_status()

    def count_dropped(self) -> Counter[str]:
        """Count the frames without a score so far, by reason."""
        counts: Counter[str] = Counter()
        for stream in self._read_streams():
            counts.update(stream.status.dropped)
        return counts

    def read_cpu_counters(self) -> CpuCounters:
        """Read the CPU seconds that its processes have counted so far."""
        return CpuCounters.parse(self._client.get("/metrics").raise_for_status().text)

    def name_part(self, process: psutil.Process) -> str:
        """Return which part of the service a process is."""
        words = process.cmdline()
        if process.pid == self.pid:
            return "supervisor"
        if "service.capture" in words:
            return "capture"
        # Valkey overwrites its command line.
        if Path(process.exe()).name.startswith("valkey-server"):
            return "redis"
        names = {"api": "front end", "worker": "worker", "learner": "learner"}
        return names.get(words[-1] if words else "", "other")


@contextmanager
def run_service(
    folder: Path, bundle: Path, settings: Mapping[str, str]
) -> Iterator[RunningService]:
    """Run a service in the folder, with one model, and stop it at the end.

    Raises: ChildProcessError: it doesn't start.
    """
    models = folder / "models"
    models.mkdir(parents=True)
    (models / MODEL).symlink_to(bundle.absolute(), target_is_directory=True)
    kept = {name: value for name, value in os.environ.items() if name not in OWN}
    log = folder / "serve.log"
    began = time.monotonic()
    command = [sys.executable, "-P", "-m", "service", "serve", "--port", "0"]
    with log.open("w") as output:
        process = subprocess.Popen(
            tether_command([*command, "--data-dir", str(folder / "data")]),
            env={
                **kept,
                "NORMWATCH_LOG_LEVEL": "WARNING",
                **settings,
                "NORMWATCH_MODELS_DIR": str(models),
            },
            stdout=output,
            stderr=output,
        )
    try:
        url = _wait_for_url(process, log)
        service = RunningService(url, process.pid, time.monotonic() - began)
        try:
            yield service
        finally:
            service.close()
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_url(process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until the service prints its URL, and return that."""
    urls: list[str] = []

    def is_url_logged() -> bool:
        lines = log.read_text().splitlines()
        urls.extend(line.partition(READY)[2].strip() for line in lines if READY in line)
        if not urls and process.poll() is not None:
            said = lines[-1] if lines else "it said nothing"
            raise ChildProcessError(f"the service did not start: {said}")
        return bool(urls)

    wait_until(is_url_logged, lambda: "the service didn't start")
    return urls[0]
