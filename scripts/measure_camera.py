"""Measures a camera's cost besides its network: bytes through Redis and to disk, Python a frame.

    taskset -c 0 .venv/bin/python scripts/measure_camera.py FILE [--bundle NAME]

FILE is a camera's video, or a folder of its pictures; the first frames are scored. The messages are
real, and the service's own code sends them to the embedded Redis.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from redis import Redis

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from model.bundles import bundle as bundles
from model.bundles.bundle import Bundle
from model.bundles.catalog import find_bundle
from model.detect.detector import Detector
from model.detect.observation import Observation
from model.engines.choice import open_engine
from model.engines.names import EngineName
from model.footage.footage_reader import FootageReader
from model.footage.footage_search import Source
from model.footage.source_pictures import encode_preview
from model.frames import Frame, Picture, fit
from model.network.unet import build_network
from model.scoring.required_measures import find_required_measures
from service import keys
from service.alert.outbox import EventData, EventType, enqueue, iso8601
from service.alert.webhook.signing import make_secret, sign
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

BATCH = 16
REPEATS = 200
TIMED = 50
WAITING = 10_000
"""This many scores wait, to find the memory of one."""
SOURCE = "rtsp://user:password@camera.example/stream1"


@dataclass(frozen=True, slots=True)
class SampledCamera:
    """Some frames of a camera, and the observation of the newest."""

    bundle: Bundle
    detector: Detector
    picture: Picture
    frames: list[Frame]
    observation: Observation
    state: bytes


@dataclass(frozen=True, slots=True)
class MessageCost:
    """The bytes of one message of a kind, measured over many."""

    name: str
    a_second: float
    """Messages a second for each camera."""
    received: float
    """Bytes received by Redis."""
    answered: float
    on_disk: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--bundle", default="ped2-judged")
    parser.add_argument("--fps", type=float, default=10.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    seen = _sample_camera(bundles.load(find_bundle(options.bundle)), options.file)
    with tempfile.TemporaryDirectory() as name:
        _print_sizes(seen, Path(name))
        with embedded.run_server(Path(name)) as (redis, _):
            _print_traffic(redis, seen, options.fps)
            _print_python(redis, seen)


def _sample_camera(bundle: Bundle, file: Path) -> SampledCamera:
    detector = Detector(bundle)
    camera = detector.start()
    count = bundle.config.context + 4
    read = FootageReader(Source(file.name, file), limit=count)
    found = [each.picture.bgr() for each in read]
    frames = [fit(picture, bundle.frame_shape) for picture in found]
    for frame in frames:
        observation = detector.observe([camera], [frame])[0]
    return SampledCamera(
        bundle, detector, found[-1], frames, observation, camera.without_frames().save()
    )


def _make_score(seen: SampledCamera, frame: int, epoch: int) -> FrameScore:
    found, now = seen.observation, time.time()
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


def _make_status() -> StreamStatus:
    return StreamStatus(
        state=StreamState.LIVE,
        since=time.time() - 86_400.0,
        worker="worker-3f9c2a71b04e-1-5ad1f2",
        epoch=int(time.time()),
        captured=864_010,
        scored=864_002,
        fps=10.0,
        frame_age_s=0.0483274459838867,
        updated_at=time.time(),
    )


def _make_worker_status() -> WorkerStatus:
    now = time.time()
    return WorkerStatus(
        id="worker-3f9c2a71b04e-1-5ad1f2",
        started_at=now - 86_400.0,
        seen_at=now,
        streams=64,
        device="cuda",
        models=["ped2-judged"],
        batches=3_456_017,
        frames=55_296_011,
        inference_s=51_234.123,
    )


def _make_config(stream_id: str) -> StreamConfig:
    return StreamConfig(
        id=stream_id, revision=1, source=SOURCE, model="ped2-judged", last_frame=864_001
    )


def _make_preview(seen: SampledCamera, width: int) -> Preview:
    heat = b"" if seen.observation.heat is None else encode_heat_map(seen.observation.heat)
    return Preview(encode_preview(seen.picture, width), heat, 864_001, time.time())


def _make_snapshot(seen: SampledCamera) -> bytes:
    return Snapshot(compute_identity(SOURCE, "weights"), seen.state).pack()


def _print_sizes(seen: SampledCamera, folder: Path) -> None:
    preview = _make_preview(seen, Settings().preview_width)
    jpeg = preview.jpeg
    captured = CapturedFrame(time.time(), 864_001, seen.frames[-1])
    body, headers = _make_webhook(folder)
    sizes = {
        "picture as captured": f"{seen.picture.shape[1]} x {seen.picture.shape[0]}",
        "score, JSON": len(
            _make_score(seen, 864_001, 1_795_000_000).model_dump_json(exclude_none=True)
        ),
        "status, JSON": len(_make_status().model_dump_json()),
        "worker's status, JSON": len(_make_worker_status().model_dump_json()),
        "stream's configuration, JSON": len(_make_config(uuid.uuid4().hex).model_dump_json()),
        "snapshot": len(_make_snapshot(seen)),
        "preview, JPEG": len(jpeg),
        "preview, heat as PNG": len(preview.heat),
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


def _read_traffic(redis: Redis) -> tuple[int, int, int]:
    """Read the bytes received, sent, and in the append-only file."""
    found = redis.info("everything")
    names = ("total_net_input_bytes", "total_net_output_bytes", "aof_current_size")
    one, two, three = (int(found[name]) for name in names)
    return one, two, three


def _send_repeatedly(
    redis: Redis, name: str, a_second: float, send: Callable[[int], object]
) -> MessageCost:
    send(0)  # loads scripts
    # The cost of reading the counters is subtracted.
    idle = _read_traffic(redis)
    before = _read_traffic(redis)
    for index in range(1, REPEATS + 1):
        send(index)
    after = _read_traffic(redis)
    received, answered, disk = (
        (late - early - (early - first)) / REPEATS
        for first, early, late in zip(idle, before, after, strict=True)
    )
    return MessageCost(name, a_second, received, answered, disk)


def _print_traffic(redis: Redis, seen: SampledCamera, fps: float) -> None:
    stream_id, settings = uuid.uuid4().hex, Settings()
    registry, scores = Registry(redis), Scores(redis, settings.max_score_backlog)
    leases = Leases(redis, "worker-3f9c2a71b04e-1-5ad1f2", settings.lease_s)
    epoch = leases.acquire(stream_id)
    if epoch is None:
        raise RuntimeError("a new stream has an owner")
    registry.publish([_make_config(stream_id)])
    snapshot, preview = _make_snapshot(seen), _make_preview(seen, settings.preview_width)
    status, worker = _make_status(), _make_worker_status()

    def publish(index: int) -> None:
        scores.publish([OutgoingScore(stream_id, _make_score(seen, index, epoch))])

    def record(_: int) -> None:
        found = scores.read([stream_id], 1)[stream_id]
        scores.acknowledge({stream_id: [each.entry for each in found]})

    rows = [
        _send_repeatedly(redis, "score published", fps, publish),
        _send_repeatedly(redis, "score recorded", fps, record),
        _send_repeatedly(redis, "snapshot", 1.0 / settings.snapshot_every_s,
              lambda _: registry.save_snapshot(stream_id, epoch, snapshot)),
        _send_repeatedly(redis, "preview", 1.0 / settings.preview_every_s,
              lambda _: registry.put_preview(stream_id, preview)),
        _send_repeatedly(redis, "status", 1.0,
              lambda _: registry.report({stream_id: status}, worker)),
        _send_repeatedly(redis, "lease renewed", 2.0, lambda _: leases.renew(stream_id, epoch)),
    ]  # fmt: skip
    print("\nthrough Redis, bytes a message   received  answered   on disk   a second")
    for row in rows:
        print(
            f"{row.name:30} {row.received:10.0f} {row.answered:9.0f} {row.on_disk:9.0f} "
            f"{row.a_second:10.1f}"
        )
    total = (
        sum(row.a_second * row.received for row in rows),
        sum(row.a_second * row.answered for row in rows),
        sum(row.a_second * row.on_disk for row in rows),
    )
    print(f"{'a camera, bytes a second':30} " + "{:10.0f} {:9.0f} {:9.0f}".format(*total))
    held = sum(int(redis.memory_usage(key) or 0) for key in keys.list_stream_keys(stream_id))
    print(f"memory of a camera             {held} bytes")
    before = int(redis.memory_usage(keys.scores(stream_id), samples=0) or 0)
    scores.publish(
        [
            OutgoingScore(stream_id, _make_score(seen, REPEATS + 1 + i, epoch))
            for i in range(WAITING)
        ]
    )
    after = int(redis.memory_usage(keys.scores(stream_id), samples=0) or 0)
    print(f"memory of a waiting score      {(after - before) / WAITING:.0f} bytes")


def _print_python(redis: Redis, seen: SampledCamera) -> None:
    """Print this process's milliseconds for each frame of a batch of 16 cameras."""
    bundle = _make_small(seen.bundle)
    detector = Detector(bundle)
    frames = [seen.frames[-1]] * BATCH
    cameras = [detector.start() for _ in frames]
    for _ in range(bundle.config.context + 1):
        detector.observe(cameras, frames)
    engine = open_engine(
        EngineName.TORCH_FP32, bundle, find_required_measures(bundle, ()), "cpu", 1
    )
    stack = _stack_frames(seen, BATCH)
    items, reads = bundle.items.expand(BATCH, -1, -1), np.ones(BATCH, np.bool_)
    # In turn, and the least of each: a busy machine slows all alike.
    whole, network = _time_frames(
        lambda: detector.observe(cameras, frames), lambda: engine.run(stack, items, reads)
    )
    scores, counter = Scores(redis, 100_000), itertools.count()
    leases = Leases(redis, "python", 600.0)
    ids = [uuid.uuid4().hex for _ in frames]
    epochs = [leases.acquire(each) or 0 for each in ids]

    def publish() -> None:
        frame = next(counter)
        scores.publish(
            [
                OutgoingScore(s, _make_score(seen, frame, e))
                for s, e in zip(ids, epochs, strict=True)
            ]
        )

    print(f"\nCPU in Python for each frame, ms, batches of {BATCH}")
    print(f"in the detector, besides engine {whole - network:.3f}")
    print(f"score made and published       {_time_frames(publish)[0]:.3f}")


def _make_small(like: Bundle) -> Bundle:
    """Make a bundle that differs only by a tiny network, so that the rest becomes measurable."""
    config = replace(like.config, base_width=2, patch=4)
    network = build_network(config).eval().requires_grad_(False)
    return Bundle("small", config, network, like.items, like.calibration, like.score)


def _stack_frames(
    seen: SampledCamera, count: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Repeat the newest frames of a camera: (B, N*C, H, W)."""
    config = seen.bundle.config
    newest = np.stack(seen.frames[-config.context - 1 :])
    if newest.ndim == 4:
        newest = newest.transpose(0, 3, 1, 2)
    flat = newest.reshape(1, -1, config.height, config.width)
    return np.ascontiguousarray(np.repeat(flat, count, axis=0))


def _time_frames(*works: Callable[[], object]) -> list[float]:
    """Measure this process's least CPU time of many calls, for each frame of the batch."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(TIMED):
        for spent, work in zip(times, works, strict=True):
            began = time.process_time()
            work()
            spent.append(time.process_time() - began)
    return [1000.0 * min(spent) / BATCH for spent in times]


if __name__ == "__main__":
    main()
