"""Measures the bytes of a camera's messages, through Redis and to disk.

    .venv/bin/python -m scripts.measure_camera FILE [--bundle NAME]

FILE is a camera's video, or a folder of its pictures; the first frames are scored. The messages are
real, and the service's own code sends them to the embedded Redis.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from redis import Redis

from model.bundles import bundle as bundles
from model.bundles.bundle import Bundle
from model.bundles.catalog import find_bundle
from model.detect.detector import Detector
from model.detect.observation import Observation
from model.footage.footage_reader import FootageReader
from model.footage.footage_search import Source
from model.footage.source_pictures import encode_preview
from model.frames import Frame, Picture, fit
from service import keys
from service.alert.outbox import EventData, EventType, enqueue, iso8601
from service.alert.webhook.webhook_sender import make_secret, sign
from service.bus import embedded
from service.bus.leases import Leases
from service.bus.registry import Preview, Registry
from service.bus.scores import OutgoingScore, Scores
from service.capture.capture_messages import CapturedFrame, encode
from service.infer.result_publisher import encode_heat_map
from service.infer.snapshots import Snapshot, compute_identity
from service.messages import FrameScore, StreamConfig, StreamState, StreamStatus, WorkerStatus
from service.settings import Settings
from service.store.database import Database
from service.store.tables import DeliveryRow, ReceiverRow, StreamRow

REPEATS = 200
WAITING = 10_000
"""This many scores wait, to find the memory of one."""
WORKER = "worker-3f9c2a71b04e-1-5ad1f2"
SOURCE = "rtsp://user:password@camera.example/stream1"

Traffic = NDArray[np.float64]
"""Bytes received by Redis, answered, and written to its file."""


@dataclass(frozen=True, slots=True)
class CameraMessages:
    """Real messages of one camera."""

    picture: Picture
    frame: Frame
    observation: Observation
    """Of the newest frame."""
    config: StreamConfig
    status: StreamStatus
    worker: WorkerStatus
    preview: Preview
    snapshot: bytes

    def make_score(self, frame: int, epoch: int) -> FrameScore:
        """Make the score of a frame with that number."""
        found, now = self.observation, time.time()
        return FrameScore(
            frame=frame,
            epoch=epoch,
            captured_at=now - 0.05,
            scored_at=now,
            psnr=found.psnr,
            distance=found.distance,
            gate_error=found.gate_error,
            score=found.score,
            threshold=found.threshold,
            memory_updated=found.memory_updated,
            region=found.region,
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--bundle", default="ped2-judged")
    parser.add_argument("--fps", type=float, default=10.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    camera = _make_messages(bundles.load(find_bundle(options.bundle)), options.file)
    with tempfile.TemporaryDirectory() as name:
        _print_sizes(camera, Path(name))
        with embedded.run_server(Path(name)) as (redis, _):
            _print_traffic(redis, camera, options.fps)


def _make_messages(bundle: Bundle, file: Path) -> CameraMessages:
    """Score the first frames of a camera, and make its messages after a day."""
    detector = Detector(bundle)
    state = detector.start()
    for each in FootageReader(Source(file.name, file), limit=bundle.config.context + 4):
        picture = each.picture.bgr()
        frame = fit(picture, bundle.frame_shape)
        observation = detector.observe([state], [frame])[0]
    heat = b"" if observation.heat is None else encode_heat_map(observation.heat)
    now, model = time.time(), bundle.name
    return CameraMessages(
        picture, frame, observation,
        StreamConfig(
            id=uuid.uuid4().hex, revision=1, source=SOURCE, model=model, last_frame=864_001
        ),
        StreamStatus(
            state=StreamState.LIVE, since=now - 86_400.0, worker=WORKER, epoch=int(now),
            captured=864_010, scored=864_002, fps=10.0, frame_age_s=0.0483274459838867,
            updated_at=now,
        ),
        WorkerStatus(
            id=WORKER, started_at=now - 86_400.0, seen_at=now, streams=64, device="cuda",
            models=[model], batches=3_456_017, frames=55_296_011, inference_s=51_234.123,
        ),
        Preview(encode_preview(picture, Settings().preview_width), heat, 864_001, now),
        Snapshot(compute_identity(SOURCE, "weights"), state.without_frames().save()).pack(),
    )  # fmt: skip


def _print_sizes(camera: CameraMessages, folder: Path) -> None:
    captured = CapturedFrame(time.time(), 864_001, camera.frame)
    score = camera.make_score(864_001, 1_795_000_000)
    body, headers = _make_webhook(folder)
    sizes = {
        "picture as captured": f"{camera.picture.shape[1]} x {camera.picture.shape[0]}",
        "score, JSON": len(score.model_dump_json(exclude_none=True)),
        "status, JSON": len(camera.status.model_dump_json()),
        "worker's status, JSON": len(camera.worker.model_dump_json()),
        "stream's configuration, JSON": len(camera.config.model_dump_json()),
        "snapshot": len(camera.snapshot),
        "preview, JPEG": len(camera.preview.jpeg),
        "preview, heat as PNG": len(camera.preview.heat),
        "frame from its process": sum(len(part) for part in encode(captured)),
        "webhook's body": len(body),
        "webhook's headers": headers,
    }
    print("\n".join(f"{name:30} {size}" for name, size in sizes.items()))


def _make_webhook(folder: Path) -> tuple[str, int]:
    """Make a real message; returns its body and the bytes of its own headers."""
    database = Database(folder / "outbox.db")
    database.migrate()
    now = time.time()
    stream = StreamRow(
        id=uuid.uuid4().hex, name="North entrance", source=SOURCE, model="m", created_at=now
    )
    hook = ReceiverRow(
        id=uuid.uuid4().hex, url="https://r.example/", secret=make_secret(), event_types=[],
        enabled=True, created_at=now,
    )  # fmt: skip
    data = EventData(
        f"evt_{uuid.uuid4().hex[:24]}", stream.id, stream.name, iso8601(now), iso8601(now + 3),
        864_001, 864_031, 0.8371234567891234, 864_017, 0.4572770590264225,
        (0.2698412698412698, 0.31746031746031744, 0.5238095238095238, 0.6190476190476191),
    )  # fmt: skip
    with database.write() as session:
        session.add_all([stream, hook])
        session.flush()
        enqueue(session, stream=stream, event_type=EventType.ENDED, data=data, now=now)
        session.flush()
        row = session.query(DeliveryRow).one()
        body, ident = row.body, row.id
    database.close()
    headers = sign(hook.secret, message_id=ident, body=body, now=now)
    return body, sum(len(name) + len(value) + 4 for name, value in headers.items())


def _read_traffic(redis: Redis) -> Traffic:
    """Read the bytes received, sent, and in the append-only file."""
    found = redis.info("everything")
    names = ("total_net_input_bytes", "total_net_output_bytes", "aof_current_size")
    return np.array([float(found[name]) for name in names])


def _measure_traffic(redis: Redis, send: Callable[[int], object]) -> Traffic:
    """Measure the bytes of one message."""
    send(0)  # loads scripts
    # The cost of reading the counters is subtracted.
    idle, before = _read_traffic(redis), _read_traffic(redis)
    for index in range(1, REPEATS + 1):
        send(index)
    return ((_read_traffic(redis) - before) - (before - idle)) / REPEATS


def _print_traffic(redis: Redis, camera: CameraMessages, fps: float) -> None:
    settings, stream_id = Settings(), camera.config.id
    registry, scores = Registry(redis), Scores(redis, settings.max_score_backlog)
    leases = Leases(redis, WORKER, settings.lease_s)
    epoch = leases.acquire(stream_id)
    if epoch is None:
        raise RuntimeError("a new stream has an owner")
    registry.publish([camera.config])

    def publish(*frames: int) -> None:
        scores.publish([OutgoingScore(stream_id, camera.make_score(f, epoch)) for f in frames])

    def record(_: int) -> None:
        found = scores.read([stream_id], 1)[stream_id]
        scores.acknowledge({stream_id: [each.entry for each in found]})

    sent: dict[str, tuple[float, Callable[[int], object]]] = {
        "score published": (fps, publish),
        "score recorded": (fps, record),
        "snapshot": (
            1.0 / settings.snapshot_every_s,
            lambda _: registry.save_snapshot(stream_id, epoch, camera.snapshot),
        ),
        "preview": (
            1.0 / settings.preview_every_s,
            lambda _: registry.put_preview(stream_id, camera.preview),
        ),
        "status": (1.0, lambda _: registry.report({stream_id: camera.status}, camera.worker)),
        "lease renewed": (2.0, lambda _: leases.renew(stream_id, epoch)),
    }
    print("\nthrough Redis, bytes a message   received  answered   on disk   a second")
    total = np.zeros(3)
    for name, (a_second, send) in sent.items():
        traffic = _measure_traffic(redis, send)
        total += a_second * traffic
        print(f"{name:30} " + "{:10.0f} {:9.0f} {:9.0f}".format(*traffic) + f" {a_second:10.1f}")
    print(f"{'a camera, bytes a second':30} " + "{:10.0f} {:9.0f} {:9.0f}".format(*total))
    held = sum(int(redis.memory_usage(key) or 0) for key in keys.list_stream_keys(stream_id))
    print(f"memory of a camera             {held} bytes")
    before = int(redis.memory_usage(keys.scores(stream_id), samples=0) or 0)
    publish(*range(REPEATS + 1, REPEATS + 1 + WAITING))
    after = int(redis.memory_usage(keys.scores(stream_id), samples=0) or 0)
    print(f"memory of a waiting score      {(after - before) / WAITING:.0f} bytes")


if __name__ == "__main__":
    main()
