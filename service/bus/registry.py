"""What front end and workers tell each other of streams: configuration, status, previews."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from pydantic import ValidationError
from redis import Redis

from service import keys
from service.messages import StreamConfig, StreamStatus, WorkerStatus

STATUS_TTL_S = 15
"""A status that its worker didn't renew is gone after this long."""
PREVIEW_TTL_S = 600
KNOWN_TTL_S = 600
"""That a stream is registered is written again every few seconds, while a front end records."""


@dataclass(frozen=True, slots=True)
class Preview:
    """The newest picture of a camera."""

    jpeg: bytes
    heat: bytes
    """PNG, 8 bit grey, coarse: 255 is the strongest error. Empty while there is no score."""
    frame: int
    captured_at: float


class Registry:
    """Streams as configured by the front end, and how they are doing as told by their owners."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._put_status = redis.register_script(_STATUS)
        self._put_preview = redis.register_script(_PREVIEW)

    def publish(self, configs: Iterable[StreamConfig]) -> None:
        """Write configurations; the front end alone does so."""
        pipeline = self._redis.pipeline(transaction=False)
        for config in configs:
            pipeline.hset(keys.STREAMS, config.id, config.model_dump_json())
            pipeline.set(keys.known(config.id), 1, ex=KNOWN_TTL_S)
        pipeline.execute()

    def synchronise(self, wanted: Callable[[], Sequence[StreamConfig]]) -> None:
        """Make the registered streams those that `wanted` reads from the database.

        What others write between this reading and this writing stays: their `publish` or `remove`
        follows their commit, so it is newer.
        """
        before = cast(dict[bytes, bytes], self._redis.hgetall(keys.STREAMS))
        configs = wanted()
        replace = self._redis.register_script(_REPLACE)
        pipeline = self._redis.pipeline(transaction=False)
        for config in configs:
            old = before.pop(config.id.encode(), b"")
            replace([keys.STREAMS], [config.id, old, config.model_dump_json()], client=pipeline)
        current = [
            config.id for config, is_so in zip(configs, pipeline.execute(), strict=True) if is_so
        ]
        pipeline = self._redis.pipeline(transaction=False)
        for known in current:
            pipeline.set(keys.known(known), 1, ex=KNOWN_TTL_S)
        pipeline.execute()
        for stream_id in before:
            self.remove(stream_id.decode(errors="replace"))

    def remove(self, stream_id: str) -> None:
        """Forget a stream with all its keys; its owner finds its epoch gone, and stops."""
        self._redis.hdel(keys.STREAMS, stream_id)
        self._redis.delete(*keys.of_stream(stream_id))

    def streams(self) -> dict[str, StreamConfig]:
        """All configurations, by id."""
        fields = cast(dict[bytes, bytes], self._redis.hgetall(keys.STREAMS))
        return {
            stream_id.decode(): StreamConfig.model_validate_json(text)
            for stream_id, text in fields.items()
        }

    def report(self, statuses: dict[str, StreamStatus], worker: WorkerStatus) -> None:
        """A worker's word on its streams and on itself, in one round trip; what is older than a
        stream's epoch isn't written."""
        pipeline = self._redis.pipeline(transaction=False)
        for stream_id, status in statuses.items():
            self._put_status(
                [keys.epoch(stream_id), keys.status(stream_id)],
                [status.epoch, status.model_dump_json(), STATUS_TTL_S],
                client=pipeline,
            )
        pipeline.hset(keys.WORKERS, worker.id, worker.model_dump_json())
        pipeline.execute()

    def statuses(self, stream_ids: Sequence[str]) -> dict[str, StreamStatus]:
        """Statuses of those streams whose owner told of them lately."""
        pipeline = self._redis.pipeline(transaction=False)
        for stream_id in stream_ids:
            pipeline.get(keys.status(stream_id))
        found = zip(stream_ids, pipeline.execute(), strict=True)
        return {key: StreamStatus.model_validate_json(text) for key, text in found if text}

    def workers(self, now: float) -> list[WorkerStatus]:
        """Workers that were heard of lately; the others' entries are deleted."""
        alive: list[WorkerStatus] = []
        for worker_id, text in self._redis.hgetall(keys.WORKERS).items():
            try:
                worker = WorkerStatus.model_validate_json(text)
            except ValidationError:
                self._redis.hdel(keys.WORKERS, worker_id)
                continue
            if now - worker.seen_at <= STATUS_TTL_S:
                alive.append(worker)
            else:
                self._redis.hdel(keys.WORKERS, worker_id)
        return alive

    def beat(self, worker: WorkerStatus) -> list[WorkerStatus]:
        """A worker says that it is there; returns the newest heartbeats of all, old ones too."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hset(keys.WORKERS, worker.id, worker.model_dump_json())
        pipeline.hvals(keys.WORKERS)
        _, found = pipeline.execute()
        beats: list[WorkerStatus] = []
        for text in cast(list[bytes], found):
            with suppress(ValidationError):  # `workers` deletes it
                beats.append(WorkerStatus.model_validate_json(text))
        return beats

    def leave(self, worker_id: str) -> None:
        """A worker stops."""
        self._redis.hdel(keys.WORKERS, worker_id)

    def put_preview(self, stream_id: str, preview: Preview, epoch: int | None = None) -> None:
        """Replace the newest picture of a camera, unless the epoch is older than the camera's."""
        self._put_preview(
            [keys.epoch(stream_id), keys.preview(stream_id)],
            [
                "" if epoch is None else epoch,
                PREVIEW_TTL_S,
                *("jpeg", preview.jpeg, "heat", preview.heat),
                *("frame", preview.frame, "captured_at", repr(preview.captured_at)),
            ],
        )

    def preview(self, stream_id: str) -> Preview | None:
        """The newest picture, if there is one."""
        fields = cast(dict[bytes, bytes], self._redis.hgetall(keys.preview(stream_id)))
        if not fields:
            return None
        return Preview(
            jpeg=fields[b"jpeg"],
            heat=fields[b"heat"],
            frame=int(fields[b"frame"]),
            captured_at=float(fields[b"captured_at"]),
        )

    def save_snapshot(self, stream_id: str, epoch: int, data: bytes) -> bool:
        """Keep a camera's detector state, if the epoch is still the camera's."""
        script = self._redis.register_script(_SNAPSHOT)
        names = [keys.epoch(stream_id), keys.snapshot(stream_id)]
        return bool(script(names, [epoch, data]))

    def snapshot(self, stream_id: str) -> bytes | None:
        """The camera's last saved detector state."""
        return cast(bytes | None, self._redis.get(keys.snapshot(stream_id)))


_STATUS = """
if tonumber(redis.call('GET', KEYS[1]) or '0') > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])
return 1
"""

_PREVIEW = """
if ARGV[1] ~= '' and tonumber(redis.call('GET', KEYS[1]) or '0') > tonumber(ARGV[1]) then
  return 0
end
redis.call('HSET', KEYS[2], unpack(ARGV, 3))
redis.call('EXPIRE', KEYS[2], ARGV[2])
return 1
"""

_SNAPSHOT = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
return 1
"""

_REPLACE = """
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') == ARGV[2] then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
  return 1
end
return 0
"""
