"""What a camera costs beside its network: bytes through Redis and to its disk, Python a frame.

    taskset -c 0 .venv/bin/python scripts/measure_camera.py FILE [--bundle NAME]

FILE is a video, or a folder of pictures, of a camera; its first frames are scored and shown.
Messages are real, sent to the embedded Redis by the code that sends them.
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

from model import bundle as bundles
from model.bundle import Bundle
from model.catalog import find
from model.detector import Detector, wanted_of
from model.engines.choice import open_engine
from model.engines.names import EngineName
from model.footage import Source, pictures
from model.frames import Frame, Picture, fit
from model.network import build
from model.observation import Observation
from service import keys
from service.alert.outbox import EventData, EventType, enqueue, iso8601
from service.alert.webhook.signing import new_secret, sign
from service.bus import embedded
from service.bus.leases import Leases
from service.bus.registry import Preview, Registry
from service.bus.scores import Outgoing, Scores
from service.capture.pictures import preview_of
from service.capture.wire import CapturedFrame, encode
from service.infer.publisher import heat_png
from service.infer.snapshots import Snapshot, identity
from service.messages import FrameScore, StreamConfig, StreamState, StreamStatus, WorkerStatus
from service.settings import Settings
from service.store.database import Database
from service.store.tables import DeliveryRow, StreamRow, WebhookRow

BATCH = 16
REPEATS = 200
TIMED = 50
WAITING = 10_000
"""Scores that wait, to weigh one."""
SOURCE = "rtsp://user:password@camera.example/stream1"


@dataclass(frozen=True, slots=True)
class Seen:
    """Some frames of a camera, and what was found in the newest."""

    bundle: Bundle
    detector: Detector
    picture: Picture
    frames: list[Frame]
    observation: Observation
    state: bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """One kind of message, sent many times; bytes of one."""

    name: str
    a_second: float
    """For each camera."""
    received: float
    """By Redis."""
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
    seen = _see(bundles.load(find(options.bundle)), options.file)
    with tempfile.TemporaryDirectory() as name:
        _print_sizes(seen, Path(name))
        with embedded.running(Path(name)) as (redis, _):
            _print_traffic(redis, seen, options.fps)
            _print_python(redis, seen)


def _see(bundle: Bundle, file: Path) -> Seen:
    detector = Detector(bundle)
    camera = detector.start()
    count = bundle.config.context + 4
    found = [each for _, each in itertools.islice(pictures(Source(file.name, file)), count)]
    frames = [fit(picture, bundle.frame_shape) for picture in found]
    for frame in frames:
        observation = detector.observe([camera], [frame])[0]
    return Seen(bundle, detector, found[-1], frames, observation, camera.without_frames().save())


def _score(seen: Seen, frame: int, epoch: int) -> FrameScore:
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


def _status() -> StreamStatus:
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


def _worker() -> WorkerStatus:
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


def _config(stream_id: str) -> StreamConfig:
    return StreamConfig(
        id=stream_id, revision=1, source=SOURCE, model="ped2-judged", last_frame=864_001
    )


def _preview(seen: Seen, width: int) -> Preview:
    heat = b"" if seen.observation.heat is None else heat_png(seen.observation.heat)
    return Preview(preview_of(seen.picture, width), heat, 864_001, time.time())


def _snapshot(seen: Seen) -> bytes:
    return Snapshot(identity(SOURCE, "weights"), seen.state).pack()


def _print_sizes(seen: Seen, folder: Path) -> None:
    preview = _preview(seen, Settings().preview_width)
    jpeg = preview.jpeg
    captured = CapturedFrame(time.time(), 864_001, seen.frames[-1])
    body, headers = _webhook(folder)
    sizes = {
        "picture as captured": f"{seen.picture.shape[1]} x {seen.picture.shape[0]}",
        "score, JSON": len(_score(seen, 864_001, 1_795_000_000).model_dump_json(exclude_none=True)),
        "status, JSON": len(_status().model_dump_json()),
        "worker's status, JSON": len(_worker().model_dump_json()),
        "stream's configuration, JSON": len(_config(uuid.uuid4().hex).model_dump_json()),
        "snapshot": len(_snapshot(seen)),
        "preview, JPEG": len(jpeg),
        "preview, heat as PNG": len(preview.heat),
        "frame from its process": sum(len(part) for part in encode(captured)),
        "webhook's body": len(body),
        "webhook's headers": headers,
    }
    print("\n".join(f"{name:30} {size}" for name, size in sizes.items()))


def _webhook(folder: Path) -> tuple[str, int]:
    """The body of a real message, and the bytes of its own headers."""
    database = Database(f"sqlite:///{folder / 'outbox.db'}")
    database.migrate()
    now = time.time()
    stream = StreamRow(
        id=uuid.uuid4().hex, name="North entrance", source=SOURCE, model="m", created_at=now
    )
    hook = WebhookRow(
        id=uuid.uuid4().hex, url="https://r.example/", secret=new_secret(), event_types=[],
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


def _figures(redis: Redis) -> tuple[int, int, int]:
    """Bytes received, sent, and in the append-only file."""
    found = redis.info("everything")
    names = ("total_net_input_bytes", "total_net_output_bytes", "aof_current_size")
    one, two, three = (int(found[name]) for name in names)
    return one, two, three


def _sent(redis: Redis, name: str, a_second: float, send: Callable[[int], object]) -> Sent:
    send(0)  # loads scripts
    # What asking itself costs is taken off.
    idle = _figures(redis)
    before = _figures(redis)
    for index in range(1, REPEATS + 1):
        send(index)
    after = _figures(redis)
    received, answered, disk = (
        (late - early - (early - first)) / REPEATS
        for first, early, late in zip(idle, before, after, strict=True)
    )
    return Sent(name, a_second, received, answered, disk)


def _print_traffic(redis: Redis, seen: Seen, fps: float) -> None:
    stream_id, settings = uuid.uuid4().hex, Settings()
    registry, scores = Registry(redis), Scores(redis, settings.max_score_backlog)
    leases = Leases(redis, "worker-3f9c2a71b04e-1-5ad1f2", settings.lease_s)
    epoch = leases.acquire(stream_id)
    if epoch is None:
        raise RuntimeError("a new stream has an owner")
    registry.publish([_config(stream_id)])
    snapshot, preview = _snapshot(seen), _preview(seen, settings.preview_width)
    status, worker = _status(), _worker()

    def publish(index: int) -> None:
        scores.publish([Outgoing(stream_id, _score(seen, index, epoch))])

    def record(_: int) -> None:
        found = scores.read([stream_id], 1)[stream_id]
        scores.acknowledge({stream_id: [each.entry for each in found]})

    rows = [
        _sent(redis, "score published", fps, publish),
        _sent(redis, "score recorded", fps, record),
        _sent(redis, "snapshot", 1.0 / settings.snapshot_every_s,
              lambda _: registry.save_snapshot(stream_id, epoch, snapshot)),
        _sent(redis, "preview", 1.0 / settings.preview_every_s,
              lambda _: registry.put_preview(stream_id, preview)),
        _sent(redis, "status", 1.0, lambda _: registry.report({stream_id: status}, worker)),
        _sent(redis, "lease renewed", 2.0, lambda _: leases.renew(stream_id, epoch)),
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
    held = sum(int(redis.memory_usage(key) or 0) for key in keys.of_stream(stream_id))
    print(f"memory of a camera             {held} bytes")
    before = int(redis.memory_usage(keys.scores(stream_id), samples=0) or 0)
    scores.publish(
        [Outgoing(stream_id, _score(seen, REPEATS + 1 + i, epoch)) for i in range(WAITING)]
    )
    after = int(redis.memory_usage(keys.scores(stream_id), samples=0) or 0)
    print(f"memory of a waiting score      {(after - before) / WAITING:.0f} bytes")


def _print_python(redis: Redis, seen: Seen) -> None:
    """Milliseconds of this process, for each frame of a batch of 16 cameras."""
    bundle = _small(seen.bundle)
    detector = Detector(bundle)
    frames = [seen.frames[-1]] * BATCH
    cameras = [detector.start() for _ in frames]
    for _ in range(bundle.config.context + 1):
        detector.observe(cameras, frames)
    engine = open_engine(EngineName.TORCH_FP32, bundle, wanted_of(bundle, ()), "cpu", 1)
    stack = _stack(seen, BATCH)
    items, reads = bundle.items.expand(BATCH, -1, -1), np.ones(BATCH, np.bool_)
    # In turn, and the least of each: a busy machine slows all alike.
    whole, network = _frame_ms(
        lambda: detector.observe(cameras, frames), lambda: engine.run(stack, items, reads)
    )
    scores, counter = Scores(redis, 100_000), itertools.count()
    leases = Leases(redis, "python", 600.0)
    ids = [uuid.uuid4().hex for _ in frames]
    epochs = [leases.acquire(each) or 0 for each in ids]

    def publish() -> None:
        frame = next(counter)
        scores.publish(
            [Outgoing(s, _score(seen, frame, e)) for s, e in zip(ids, epochs, strict=True)]
        )

    print(f"\nCPU in Python for each frame, ms, batches of {BATCH}")
    print(f"in the detector, beside engine {whole - network:.3f}")
    print(f"score made and published       {_frame_ms(publish)[0]:.3f}")


def _small(like: Bundle) -> Bundle:
    """The same in all but the network, which is so small that the rest can be seen beside it."""
    config = replace(like.config, base_width=2, patch=4)
    network = build(config).eval().requires_grad_(False)
    return Bundle("small", config, network, like.items, like.calibration, like.score)


def _stack(seen: Seen, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The newest frames of a camera, so many times: (B, N*C, H, W)."""
    config = seen.bundle.config
    newest = np.stack(seen.frames[-config.context - 1 :])
    if newest.ndim == 4:
        newest = newest.transpose(0, 3, 1, 2)
    flat = newest.reshape(1, -1, config.height, config.width)
    return np.ascontiguousarray(np.repeat(flat, count, axis=0))


def _frame_ms(*works: Callable[[], object]) -> list[float]:
    """CPU of this process, the least of many calls, for each frame of the batch."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(TIMED):
        for spent, work in zip(times, works, strict=True):
            began = time.process_time()
            work()
            spent.append(time.process_time() - began)
    return [1000.0 * min(spent) / BATCH for spent in times]


if __name__ == "__main__":
    main()
