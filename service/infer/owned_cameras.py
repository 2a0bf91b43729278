"""The record of the cameras that a worker owns."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace

from service.bus.leases import AcquiredLease
from service.messages import StreamConfig, StreamStatus


@dataclass(frozen=True, slots=True)
class OwnedCamera:
    """A camera that is ours."""

    config: StreamConfig
    epoch: int
    first_frame: int
    """The least number that a new frame may get."""
    snapshot: bytes | None
    """The state that the last owner left."""
    tenure: int
    """Counts our times of ownership: another one means that it wasn't ours in between."""
    last_status: StreamStatus | None = None
    """What the last owner reported a moment ago."""
    leaving: bool = False
    """Another worker should have it: stop, send what there is, and call `give_up`."""


class OwnedCameras:
    """The cameras that are ours, by id. Any thread may use it."""

    def __init__(self, worker_id: str) -> None:
        self._worker_id = worker_id
        self._lock = threading.Lock()
        self._by_id: dict[str, OwnedCamera] = {}
        self._given_up: set[str] = set()
        """Cameras that are ready to be released to another worker."""
        self._tenures = 0
        self.takeovers = 0
        """Cameras that were another worker's a moment before."""
        self.handovers = 0
        """Cameras that were released to another worker."""

    def list_all(self) -> dict[str, OwnedCamera]:
        """Return the cameras as they are now."""
        with self._lock:
            return dict(self._by_id)

    def add(self, config: StreamConfig, lease: AcquiredLease) -> None:
        """Add a camera that was just acquired."""
        last = lease.status
        self.takeovers += last is not None and last.worker not in ("", self._worker_id)
        self._tenures += 1
        with self._lock:
            self._by_id[config.id] = OwnedCamera(
                config,
                lease.epoch,
                find_first_frame(config, lease),
                lease.snapshot,
                self._tenures,
                last,
            )

    def put(self, stream_id: str, camera: OwnedCamera | None) -> None:
        """Replace a camera, unless it isn't ours any more. Args: camera: None removes it."""
        with self._lock:
            if camera is None:
                self._by_id.pop(stream_id, None)
            elif stream_id in self._by_id:
                self._by_id[stream_id] = camera

    def remove_all(self) -> list[OwnedCamera]:
        """Remove all cameras, and return them."""
        with self._lock:
            removed, self._by_id = self._by_id, {}
        return list(removed.values())

    def mark_leaving(self, stream_ids: Iterable[str]) -> None:
        """Ask for cameras to be given up."""
        with self._lock:
            for stream_id in stream_ids:
                self._by_id[stream_id] = replace(self._by_id[stream_id], leaving=True)

    def give_up(self, stream_id: str) -> None:
        """Let a camera be released that is `leaving` and has nothing more to send."""
        with self._lock:
            self._given_up.add(stream_id)

    def pop_given_up(self) -> list[OwnedCamera]:
        """Return the cameras to release now, each once."""
        with self._lock:
            given_up, self._given_up = self._given_up, set()
            return [each for each in map(self._by_id.get, given_up) if each and each.leaving]

    def remove_handed_over(self, cameras: Iterable[OwnedCamera]) -> None:
        """Remove cameras that were given up and released."""
        with self._lock:
            for camera in cameras:
                del self._by_id[camera.config.id]
                self.handovers += 1

    def keep_leaving(self) -> bool:
        """Keep what is `leaving` after all. Returns whether anything was."""
        with self._lock:
            self._given_up.clear()
            leaving = [each for each in self._by_id.values() if each.leaving]
            for camera in leaving:
                self._by_id[camera.config.id] = replace(camera, leaving=False)
        return bool(leaving)


def find_first_frame(config: StreamConfig, lease: AcquiredLease) -> int:
    """Return the least number that no frame of the camera has had."""
    return max(lease.last_frame, config.last_frame) + 1


def list_epochs(cameras: Iterable[OwnedCamera]) -> dict[str, int]:
    """Return the cameras' epochs, by their ids."""
    return {each.config.id: each.epoch for each in cameras}
