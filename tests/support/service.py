"""The whole service as a user runs it: `normwatch serve` in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.support.servers import free_port, wait_for

PATIENT = {"NORMWATCH_MAX_FRAME_AGE_S": "600", "NORMWATCH_CAPTURE_RING_FRAMES": "500"}
"""A busy machine leaves no frame without a score."""


@dataclass
class Service:
    """A running service."""

    url: str
    process: psutil.Process
    client: httpx.Client

    def child(self, name: str) -> psutil.Process:
        """The process of one part: `api`, `worker` or `redis`."""
        for child in self.process.children(recursive=True):
            # Valkey rewrites its command line.
            is_redis = Path(child.exe()).name.startswith("valkey-server")
            if is_redis if name == "redis" else child.cmdline()[-1:] == [name]:
                return child
        raise LookupError(f"no {name} among the children")

    def kill(self, name: str) -> None:
        """kill -9 one part, once it is there, and wait until another process is in its place."""

        def pid() -> int | None:
            try:
                return self.child(name).pid
            except (LookupError, psutil.Error):
                return None

        wait_for(lambda: pid() is not None, f"a {name}")
        victim = self.child(name)
        victim.kill()
        wait_for(lambda: pid() not in (None, victim.pid), f"a new {name}")

    def ready(self) -> bool:
        """Whether it says that it is ready."""
        try:
            return self.client.get("/readyz").is_success
        except httpx.HTTPError:
            return False

    def create(self, path: str, **body: Any) -> dict[str, Any]:
        """POST something that must be accepted."""
        answer = self.client.post(path, json=body)
        assert answer.status_code == 201, answer.text
        created: dict[str, Any] = answer.json()
        return created

    def scores(self, stream_id: str) -> list[dict[str, Any]]:
        """All scores of a stream, page by page."""
        items: list[dict[str, Any]] = []
        after: int | None = -1
        while after is not None:
            answer = self.client.get(
                f"/streams/{stream_id}/scores", params={"after": after, "limit": 500}
            )
            assert answer.status_code == 200, answer.text
            page = answer.json()
            items += page["items"]
            after = page["next"]
        return items


@contextmanager
def running_service(data_dir: Path, **environment: str) -> Iterator[Service]:
    """Start `normwatch serve` on a free port, wait until it is ready, stop it at the end."""
    port = free_port()
    command = [sys.executable, "-P", "-m", "service", "serve", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--data-dir", str(data_dir)],
        env={k: v for k, v in os.environ.items() if not k.endswith("REDIS_URL")}
        | PATIENT
        | environment,
        stdout=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=url, timeout=30.0, trust_env=False) as client:
        service = Service(url, psutil.Process(process.pid), client)
        try:
            wait_for(lambda: process.poll() is not None or service.ready(), "the service", 60)
            assert process.poll() is None
            yield service
        finally:
            process.terminate()
            process.wait(30)
