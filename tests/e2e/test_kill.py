"""kill -9 of each part while uploads go on: all comes back, nothing accepted is lost or doubled."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.support.footage import drawn_picture, jpeg
from tests.support.servers import wait_for
from tests.support.service import Service, running_service

PAUSE_S = 0.05


class Uploader:
    """Uploads a picture after the other, and remembers which numbers were accepted."""

    def __init__(self, service: Service, stream_id: str) -> None:
        self._path = f"{service.url}/streams/{stream_id}/frames"
        self._images = [jpeg(drawn_picture(step)) for step in range(20)]
        self.accepted: list[int] = []
        self.refused = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Uploader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        step = 0
        with httpx.Client(timeout=15.0, trust_env=False) as client:
            while not self._stop.wait(PAUSE_S):
                image = self._images[step % len(self._images)]
                try:
                    answer = client.post(
                        self._path, content=image, headers={"Content-Type": "image/jpeg"}
                    )
                except httpx.HTTPError:
                    self.refused += 1
                    continue
                if answer.status_code == 202:
                    self.accepted.append(answer.json()["frames"]["first"])
                    step += 1
                else:
                    self.refused += 1

    def goes_on(self) -> None:
        """Wait for a few more accepted pictures."""
        target = len(self.accepted) + 10
        wait_for(lambda: len(self.accepted) >= target, "accepted uploads", 60)


@pytest.mark.timeout(300)
def test_killed_parts_come_back_and_nothing_accepted_is_lost(
    tmp_path: Path, models_dir: Path
) -> None:
    environment = {"NORMWATCH_MODELS_DIR": str(models_dir), "NORMWATCH_LEASE_S": "2"}
    with running_service(tmp_path / "data", **environment) as service:
        stream = service.create("/streams", name="door", source="upload", model="small")
        with Uploader(service, stream["id"]) as uploader:
            uploader.goes_on()
            for part in ("worker", "api", "redis", "worker"):
                service.kill(part)
                uploader.goes_on()
        accepted = uploader.accepted
        assert len(set(accepted)) == len(accepted)

        def scored() -> bool:
            found = {item["frame"] for item in service.scores(stream["id"])}
            return found >= set(accepted)

        wait_for(scored, "a score for each accepted frame", 60)
        time.sleep(1.0)
        frames = [item["frame"] for item in service.scores(stream["id"])]
        assert frames == sorted(set(frames))
        names = [item["name"] for item in service.client.get("/streams").json()["items"]]
        assert names == ["door"]
