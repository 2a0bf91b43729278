"""Pictures of events: requested by the front end, sent by the worker that owns the camera.

A request lives for as long as it is repeated, and what is sent for as long as it is requested: if
either side dies, nothing of it stays in Redis.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import structlog
from pydantic import ValidationError
from redis import Redis

from service import keys
from service.bus.many_cameras import Entry, read_values
from service.messages import Shot, ShotRequest

log = structlog.stdlib.get_logger(__name__)

REQUEST_TTL_S = 10
SHOTS_TTL_S = 30
MAX_WAITING = 100
"""Pictures of one camera that wait for the front end; then the worker waits."""

_SEND = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('EXISTS', KEYS[2]) == 0 then return -1 end
local room = tonumber(ARGV[2]) - redis.call('XLEN', KEYS[3])
local sent = 0
for i = 4, #ARGV, 3 do
  if sent >= room then break end
  redis.call('XADD', KEYS[3], '*', 'shot', ARGV[i], 'jpeg', ARGV[i + 1], 'heat', ARGV[i + 2])
  sent = sent + 1
end
if sent > 0 then redis.call('EXPIRE', KEYS[3], ARGV[3]) end
return sent
"""


@dataclass(frozen=True, slots=True)
class SentShot:
    """A picture on its way."""

    meta: Shot
    jpeg: bytes
    heat: bytes = b""
    """PNG, 8 bit grey, coarse: 255 is the strongest error. Empty where there is none."""


class Shots:
    """The requests, and the pictures on their way, of all cameras."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._send = redis.register_script(_SEND)

    def request(self, requests: Mapping[str, ShotRequest]) -> None:
        """Request pictures, by stream, instead of those before; for `REQUEST_TTL_S`."""
        if not requests:
            return
        pipeline = self._redis.pipeline(transaction=False)
        for stream_id, request in requests.items():
            pipeline.set(keys.shot_request(stream_id), request.model_dump_json(), ex=REQUEST_TTL_S)
        pipeline.execute()

    def withdraw(self, stream_ids: Iterable[str]) -> None:
        """Request nothing more of these streams, and delete what was sent."""
        pipeline = self._redis.pipeline(transaction=False)
        for stream_id in stream_ids:
            pipeline.delete(keys.shot_request(stream_id))
            pipeline.delete(keys.shots(stream_id))
        pipeline.execute()

    def read_requests(self, stream_ids: Sequence[str]) -> dict[str, ShotRequest]:
        """Return the requests for these streams, where there are any."""
        texts = read_values(self._redis, [keys.shot_request(each) for each in stream_ids])
        found: dict[str, ShotRequest] = {}
        for stream_id, text in zip(stream_ids, texts, strict=True):
            if text is None:
                continue
            try:
                found[stream_id] = ShotRequest.model_validate_json(text)
            except ValidationError:
                log.error("a request for a stream's pictures can't be read", stream=stream_id)
        return found

    def send(self, stream_id: str, epoch: int, shots: Sequence[SentShot]) -> int:
        """Send pictures in order. Returns how many of them there was room for.

        -1: they aren't requested any more, or the epoch isn't the camera's: nothing was written.
        """
        names = [keys.epoch(stream_id), keys.shot_request(stream_id), keys.shots(stream_id)]
        fields: list[str | bytes | int] = [epoch, MAX_WAITING, SHOTS_TTL_S]
        for shot in shots:
            fields += [shot.meta.model_dump_json(exclude_none=True), shot.jpeg, shot.heat]
        return int(self._send(names, fields))

    def receive(self, stream_ids: Sequence[str], count: int) -> dict[str, list[SentShot]]:
        """Take up to `count` pictures of each stream out, the oldest first."""
        pipeline = self._redis.pipeline(transaction=False)
        for stream_id in stream_ids:
            pipeline.xrange(keys.shots(stream_id), count=count)
        answers = zip(stream_ids, cast(list[list[Entry]], pipeline.execute()), strict=True)
        found = {key: rows for key, rows in answers if rows}
        pipeline = self._redis.pipeline(transaction=False)
        for stream_id, rows in found.items():
            pipeline.xdel(keys.shots(stream_id), *(entry for entry, _ in rows))
        pipeline.execute()
        return {key: list(_parse_shots(key, rows)) for key, rows in found.items()}


def _parse_shots(stream_id: str, rows: list[Entry]) -> Iterable[SentShot]:
    for _, fields in rows:
        try:
            meta = Shot.model_validate_json(fields[b"shot"])
            yield SentShot(meta, fields[b"jpeg"], fields[b"heat"])
        except (ValidationError, KeyError):
            log.error("an entry that is no picture was dropped", stream=stream_id)
