"""Reports to Redis how a worker and its cameras are doing."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from service.bus.registry import Registry
from service.infer.batch_scorer import ScoredTotals
from service.infer.camera_set import CameraSet
from service.infer.cpu import CpuAccount
from service.infer.model_pool import ModelPool
from service.infer.ownership import Ownership
from service.infer.result_publisher import ResultPublisher
from service.infer.worker_camera import Camera
from service.messages import DropReason, StreamStatus, WorkerStatus
from service.timers import Clock, Timer

REPORT_EVERY_S = 1.0


@dataclass(slots=True, kw_only=True)
class Reporter:
    """Builds the worker's heartbeat and its streams' statuses. Any thread may call it."""

    worker_id: str
    device: str
    capacity: int
    started_at: float
    clock: Clock
    """Seconds since 1970."""
    ownership: Ownership
    cameras: CameraSet
    models: ModelPool
    publisher: ResultPublisher
    scored: ScoredTotals
    cpu: CpuAccount
    timer: Timer = field(default_factory=partial(Timer, REPORT_EVERY_S))

    def report_if_due(self, registry: Registry) -> None:
        """Report once a second. Raises: RedisError: Redis is away."""
        if self.timer.restart_if_due():
            registry.report(self._build_statuses(), self.build_heartbeat())

    def build_heartbeat(self) -> WorkerStatus:
        lost = self.publisher.lost
        return WorkerStatus(
            id=self.worker_id,
            started_at=self.started_at,
            seen_at=self.clock(),
            streams=len(self.cameras.by_id),
            capacity=self.capacity,
            device=self.device,
            models=self.models.names,
            engines=self.models.engines,
            batches=self.scored.batches,
            frames=self.scored.frames,
            inference_s=self.scored.inference_s,
            cpu_s=self.cpu.seconds(),
            takeovers=self.ownership.owned.takeovers,
            handovers=self.ownership.owned.handovers,
            dropped_previews=lost.previews,
            dropped_notes=lost.notes,
        )

    def _build_statuses(self) -> dict[str, StreamStatus]:
        now = self.clock()
        owned = self.ownership.owned.list_all()
        cameras = self.cameras.by_id
        total = sum(camera.counts.compute_fps(now) for camera in cameras.values()) or 1.0
        return {
            stream_id: build_stream_status(camera, now, camera.counts.compute_fps(now) / total)
            for stream_id, camera in cameras.items()
            if stream_id in owned and not camera.outbox.stale
        }


def build_stream_status(camera: Camera, now: float, share: float) -> StreamStatus:
    """Build a camera's status. Any thread may call it.

    Args:
        now: seconds since 1970.
        share: the camera's part of the frames that the worker scores, 0 to 1.
    """
    totals, counts, outbox, life = (
        camera.source.sum_up(),
        camera.counts,
        camera.outbox,
        camera.life.now,
    )
    ages = counts.compute_ages(now)
    dropped = totals.dropped + outbox.dropped
    dropped[DropReason.FAULT] += counts.faults
    dropped[DropReason.OVERLOAD] += counts.unscored
    dropped[DropReason.NO_MODEL] += counts.displayed
    return StreamStatus(
        state=life.state,
        reason=life.reason,
        since=life.since,
        worker=camera.worker_id,
        epoch=camera.owned.epoch,
        model=camera.model_name,
        captured=totals.captured,
        scored=outbox.scored,
        still=counts.still,
        computed=counts.computed,
        dropped={reason: count for reason, count in dropped.items() if count},
        waiting=totals.waiting + outbox.held,
        fps=counts.compute_fps(now),
        target_fps=camera.target_fps,
        degraded=counts.is_degraded(now),
        weight=camera.config.weight,
        share=share,
        frame_age_s=counts.newest_age_s,
        frame_age_p50_s=ages.p50 if ages else None,
        frame_age_p99_s=ages.p99 if ages else None,
        reconnects=totals.reconnects,
        updated_at=now,
    )
