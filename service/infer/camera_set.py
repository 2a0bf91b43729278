"""The cameras that a worker runs: taken, configured and let go as its leases say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.infer.batch_scorer import BatchScorer
from service.infer.camera_pictures import CameraPictures
from service.infer.model_pool import ModelPool
from service.infer.owned_cameras import OwnedCamera
from service.infer.ownership import Ownership
from service.infer.result_publisher import ResultPublisher
from service.infer.shot_sender import OwnedReel
from service.infer.source_opening import SourceHandler
from service.infer.worker_camera import Camera
from service.settings import Settings
from service.timers import Clock

MOST_ROUNDS_MISSED = 20
"""About a second: the state of a camera is no older than that."""


@dataclass(slots=True, kw_only=True)
class CameraSet:
    """A worker's cameras. For the worker's thread; any may read `by_id` and call `find_reels`."""

    settings: Settings
    worker_id: str
    clock: Clock
    """Seconds since 1970."""
    ownership: Ownership
    publisher: ResultPublisher
    models: ModelPool
    scorer: BatchScorer
    sources: SourceHandler
    by_id: Mapping[str, Camera] = field(default_factory=dict)
    """It is replaced, and never changed: another thread may be walking through it."""

    def reconcile(self) -> None:
        """Make the cameras those that we own, each as it is configured, and take each a step
        further."""
        owned = self.ownership.owned.list_all()
        for stream_id, camera in list(self.by_id.items()):
            now_owned = owned.get(stream_id)
            if now_owned is not None and now_owned.tenure == camera.owned.tenure:
                continue
            if self.scorer.is_scoring(camera):
                camera.is_held = True
            else:
                self._let_go(stream_id)
        for stream_id, each in owned.items():
            camera = self.by_id.get(stream_id) or self._take(each)
            if self.scorer.is_scoring(camera):
                # Its turn comes when the frame is out. An overloaded camera's next one begins at
                # once: that one waits where something changes, and otherwise now and then.
                camera.rounds_missed += 1
                is_overdue = camera.rounds_missed >= MOST_ROUNDS_MISSED
                camera.is_held = is_overdue or camera.has_change(each, self.models)
            else:
                camera.is_held, camera.rounds_missed = False, 0
                self._advance(camera, each)
        used = {name for camera in self.by_id.values() for name in camera.list_models()}
        self.models.keep_only(used | self.ownership.models)
        # Another worker's cameras may be this one's in a moment.
        self.models.preload(self.ownership.models)

    def find_reels(self) -> dict[str, OwnedReel]:
        """Find the cameras' pictures for clips. Any thread may call it."""
        return {
            stream_id: OwnedReel(camera.pictures.reel, camera.owned.epoch)
            for stream_id, camera in self.by_id.items()
        }

    def _advance(self, camera: Camera, owned: OwnedCamera) -> None:
        if camera.owned is not owned:
            camera.update(owned, self.models)
        if owned.leaving:
            if camera.leave():
                self.ownership.give_up(owned.config.id)
            return
        now = self.clock()
        camera.tend(self.models, self.sources.open_source, now)
        camera.save_snapshot()
        camera.advance(now)

    def _take(self, owned: OwnedCamera) -> Camera:
        stream_id = owned.config.id
        camera = Camera(
            owned,
            self.publisher.open(stream_id, owned.epoch),
            worker_id=self.worker_id,
            memory_rule=self.settings.memory_rule,
            snapshot_every_s=self.settings.snapshot_every_s,
            pictures=CameraPictures.from_settings(self.settings),
            close_source=self.sources.close_source,
        )
        self.by_id = {**self.by_id, stream_id: camera}
        return camera

    def _let_go(self, stream_id: str) -> None:
        camera = self.by_id[stream_id]
        self.by_id = {key: each for key, each in self.by_id.items() if key != stream_id}
        self.scorer.forget(stream_id)
        camera.close()
        self.publisher.remove(camera.outbox)
