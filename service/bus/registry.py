"""What front end and workers exchange about streams: configuration, status, previews."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from pydantic import ValidationError
from redis import Redis

from service import keys
from service.bus.many_cameras import read_values
from service.messages import StreamConfig, StreamStatus, WorkerStatus
from service.timers import Timer

STATUS_TTL_S = 15
"""A status that its worker didn't renew is gone after this long."""
PREVIEW_TTL_S = 600
KNOWN_TTL_S = 600
KNOWN_EVERY_S = 60.0
"""Seconds between writes that a stream is registered, while a front end records."""


@dataclass(frozen=True, slots=True)
class Preview:
    """The newest picture of a camera."""

    jpeg: bytes
    heat: bytes
    """PNG, 8 bit grey, coarse: 255 is the strongest error. Empty while there is no score."""
    frame: int
    captured_at: float


class Registry:
    """Streams as the front end configures them, and their states as their owners report them."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._put_status = redis.register_script(_STATUS)
        self._put_preview = redis.register_script(_PREVIEW)
        self._replace = redis.register_script(_REPLACE)
        self._known_timers: dict[str, Timer] = {}
        """Say when `synchronise` has to write again that a stream is registered."""

    def publish(self, configs: Iterable[StreamConfig]) -> None:
        """Write configurations; the front end alone does so."""
        pipeline = self._redis.pipeline(transaction=False)
        for config in configs:
            pipeline.hset(keys.STREAMS, config.id, config.model_dump_json())
            pipeline.set(keys.registration(config.id), 1, ex=KNOWN_TTL_S)
        pipeline.execute()

    def synchronise(self, read_configs: Callable[[], Sequence[StreamConfig]]) -> None:
        """Make the registered streams those that `read_configs` reads from the database.

        What others write between this reading and this writing stays: their `publish` or `remove`
        follows their commit, so it is newer.
        """
        before = cast(dict[bytes, bytes], self._redis.hgetall(keys.STREAMS))
        configs = read_configs()
        due: list[str] = []
        changes: list[str | bytes] = []
        for config in configs:
            old, new = before.pop(config.id.encode(), b""), config.model_dump_json()
            timer = self._known_timers.get(config.id)
            is_due = not old or timer is None or timer.is_due
            if is_due:
                due.append(config.id)
            if is_due or old != new.encode():
                changes += (config.id, old, new)
        if changes:
            refused = cast(list[bytes], self._replace([keys.STREAMS], changes))
            self._write_known(set(due) - {ident.decode() for ident in refused})
        for stream_id in before:
            self.remove(stream_id.decode(errors="replace"))

    def _write_known(self, stream_ids: Iterable[str]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for stream_id in stream_ids:
            pipeline.set(keys.registration(stream_id), 1, ex=KNOWN_TTL_S)
            self._known_timers.setdefault(stream_id, Timer(KNOWN_EVERY_S)).restart()
        pipeline.execute()

    def remove(self, stream_id: str) -> None:
        """Delete a stream with all its keys; its owner finds its epoch gone, and stops."""
        self._known_timers.pop(stream_id, None)
        self._redis.hdel(keys.STREAMS, stream_id)
        self._redis.delete(*keys.list_stream_keys(stream_id))

    def streams(self) -> dict[str, StreamConfig]:
        fields = cast(dict[bytes, bytes], self._redis.hgetall(keys.STREAMS))
        return {
            stream_id.decode(): StreamConfig.model_validate_json(text)
            for stream_id, text in fields.items()
        }

    def report(self, statuses: dict[str, StreamStatus], worker: WorkerStatus) -> None:
        """Write a worker's report on its streams and on itself, in one round trip; what is older
        than a stream's epoch isn't written."""
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
        """Return the statuses of those streams whose owner has reported recently."""
        texts = read_values(self._redis, [keys.status(stream_id) for stream_id in stream_ids])
        found = zip(stream_ids, texts, strict=True)
        return {key: StreamStatus.model_validate_json(text) for key, text in found if text}

    def workers(self, now: float) -> list[WorkerStatus]:
        """Return the workers seen recently, and delete the others' entries."""
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
        """Write a worker's heartbeat. Returns the newest heartbeats of all, old ones too."""
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
local refused = {}
for i = 1, #ARGV, 3 do
  if (redis.call('HGET', KEYS[1], ARGV[i]) or '') == ARGV[i + 1] then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
  else
    refused[#refused + 1] = ARGV[i]
  end
end
return refused
"""
