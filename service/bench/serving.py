"""`normwatch serve` as the benchmark starts it, on a data folder of its own, and its API."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import httpx
import psutil
from pydantic import BaseModel

from service.bench.load import Scored, wait_until
from service.messages import StreamState
from service.tether import tethered

MODEL = "bench"
PAGE = 10_000
STOP_S = 30.0
OWN = (
    *("REDIS_URL", "DATABASE_URL"),
    *(f"NORMWATCH_{name}" for name in ("REDIS_URL", "DATABASE_URL", "API_KEYS", "HOST", "PORT")),
)
"""Settings of the user's that a service beside his own must not have."""
READY = "normwatch is at "


class Status(BaseModel):
    """How a camera is doing, as the API tells."""

    state: StreamState
    reason: str
    captured: int
    scored: int
    dropped: dict[str, int]

    @property
    def unaccounted(self) -> int:
        """Captured frames that were neither scored nor dropped: those that wait."""
        return self.captured - self.scored - sum(self.dropped.values())


class _Stream(BaseModel):
    id: str
    status: Status


class _Streams(BaseModel):
    items: list[_Stream]


class _Score(BaseModel):
    frame: int
    captured_at: datetime
    scored_at: datetime
    state: StreamState


class _Scores(BaseModel):
    items: list[_Score]
    next: int | None


class Serving:
    """A running service with cameras."""

    def __init__(self, url: str, pid: int) -> None:
        self.pid = pid
        self._client = httpx.Client(base_url=url, timeout=60.0, trust_env=False)
        self._ids: list[str] = []
        self._read: dict[str, int] = {}
        self._live: set[str] = set()
        self.rows: Counter[int] = Counter()
        """Of the scores that were read, by camera; those without a value too."""

    def close(self) -> None:
        """Speak to it no more."""
        self._client.close()

    def register(self, source: str, fps: float) -> None:
        """One camera more. Raises: ChildProcessError: it is refused."""
        body = {
            "name": f"camera {len(self._ids) + 1}",
            "source": source,
            "model": MODEL,
            "fps": fps,
        }
        answer = self._client.post("/streams", json=body)
        if not answer.is_success:
            raise ChildProcessError(f"the service refuses a camera: {answer.text}")
        self._ids.append(_Registered.model_validate_json(answer.content).id)

    def take(self) -> list[Scored]:
        """The scores that the API has more than the last time; frames of a warming camera, which
        cost next to nothing, have none."""
        found: list[Scored] = []
        for camera, stream_id in enumerate(self._ids):
            after: int | None = self._read.get(stream_id, -1)
            while after is not None:
                page = self._page(stream_id, after)
                self.rows[camera] += len(page.items)
                for each in page.items:
                    captured, scored = each.captured_at.timestamp(), each.scored_at.timestamp()
                    self._read[stream_id] = each.frame
                    if each.state is StreamState.LIVE:
                        found.append(Scored(camera, captured, scored))
                        self._live.add(stream_id)
                after = page.next
        return found

    def _page(self, stream_id: str, after: int) -> _Scores:
        answer = self._client.get(
            f"/streams/{stream_id}/scores", params={"after": after, "limit": PAGE}
        )
        return _Scores.model_validate_json(answer.raise_for_status().content)

    def _streams(self) -> list[_Stream]:
        answer = self._client.get("/streams").raise_for_status()
        return _Streams.model_validate_json(answer.content).items

    def all_live(self) -> bool:
        """Whether every camera has had a score."""
        self.take()
        return len(self._live) == len(self._ids)

    def complaint(self) -> str:
        """What keeps a camera from having one."""
        for number, stream in enumerate(self._streams()):
            if stream.id not in self._live:
                told = stream.status
                return f"camera {number + 1} has no score: {told.state}, {told.reason}"
        return "cameras have no scores"

    def statuses(self) -> list[Status]:
        """Of all cameras, in the order of their registration."""
        found = {stream.id: stream.status for stream in self._streams()}
        return [found[stream_id] for stream_id in self._ids]

    def pause(self) -> None:
        """Let all cameras rest: nothing more is captured."""
        for stream_id in self._ids:
            self._client.patch(f"/streams/{stream_id}", json={"paused": True}).raise_for_status()

    def dropped(self) -> Counter[str]:
        """Frames without a score so far, by reason."""
        counts: Counter[str] = Counter()
        for stream in self._streams():
            counts.update(stream.status.dropped)
        return counts

    def part_of(self, process: psutil.Process) -> str:
        """Which part of the service a process is."""
        words = process.cmdline()
        if process.pid == self.pid:
            return "supervisor"
        if "service.capture" in words:
            return "capture"
        # Valkey writes its command line anew.
        if Path(process.exe()).name.startswith("valkey-server"):
            return "redis"
        return {"api": "front end", "worker": "worker"}.get(words[-1] if words else "", "other")


class _Registered(BaseModel):
    id: str


@contextmanager
def serving(folder: Path, bundle: Path, settings: Mapping[str, str]) -> Iterator[Serving]:
    """Start it below the folder, with one model, and stop it at the end.

    Raises: ChildProcessError: it doesn't start.
    """
    models = folder / "models"
    models.mkdir(parents=True)
    (models / MODEL).symlink_to(bundle.absolute(), target_is_directory=True)
    kept = {name: value for name, value in os.environ.items() if name not in OWN}
    log = folder / "serve.log"
    command = [sys.executable, "-P", "-m", "service", "serve", "--port", "0"]
    with log.open("w") as output:
        process = subprocess.Popen(
            tethered([*command, "--data-dir", str(folder / "data")]),
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
        service = Serving(_url(process, log), process.pid)
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


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    """Of the service, once it answers."""
    urls: list[str] = []

    def told() -> bool:
        lines = log.read_text().splitlines()
        urls.extend(line.partition(READY)[2].strip() for line in lines if READY in line)
        if not urls and process.poll() is not None:
            said = lines[-1] if lines else "it said nothing"
            raise ChildProcessError(f"the service did not start: {said}")
        return bool(urls)

    wait_until(told, lambda: "the service didn't start")
    return urls[0]
