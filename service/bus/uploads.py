"""Uploaded frames on their way to the worker: a bounded queue for each camera."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from redis import Redis

from service import keys
from service.bus.cluster import Cluster
from service.bus.many_cameras import Entry
from service.errors import BacklogFull, NotFound
from service.messages import UploadedFrame
from service.timers import Deadline

RETRY_AFTER_S = 2
POLL_S = 0.02
"""How often a cluster is asked for uploads while one waits for them."""

_ENQUEUE = """
if redis.call('EXISTS', KEYS[4]) == 0 then return -2 end
local count = (#ARGV - 3) / 3
local bytes = 0
for i = 6, #ARGV, 3 do bytes = bytes + #ARGV[i] end
if redis.call('XLEN', KEYS[1]) + count > tonumber(ARGV[2]) then return -1 end
if tonumber(redis.call('GET', KEYS[2]) or '0') + bytes > tonumber(ARGV[3]) then return -1 end
local first = math.max(tonumber(redis.call('GET', KEYS[3]) or '0'), tonumber(ARGV[1]))
for i = 0, count - 1 do
  redis.call('XADD', KEYS[1], '*', 'frame', string.format('%d', first + i),
             'captured_at', ARGV[4 + 3 * i], 'cut', ARGV[5 + 3 * i], 'image', ARGV[6 + 3 * i])
end
redis.call('INCRBY', KEYS[2], string.format('%d', bytes))
redis.call('SET', KEYS[3], string.format('%d', first + count))
return first
"""

_DISCARD = """
if redis.call('XDEL', KEYS[1], ARGV[1]) == 1 then redis.call('DECRBY', KEYS[2], ARGV[2]) end
"""


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture, and when it was captured."""

    captured_at: float
    image: bytes
    """A file that OpenCV decodes: JPEG, PNG and so on."""
    cut: bool = False
    """It doesn't follow the picture before it."""


@dataclass(frozen=True, slots=True)
class QueuedFrame:
    """An uploaded frame as it waits in the queue."""

    entry: str
    """Its id in the Redis stream; `Scores.publish` deletes it with the frame's score."""
    meta: UploadedFrame
    image: bytes


class Uploads:
    """The queues of uploaded frames. An entry stays until its score is published."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._enqueue = redis.register_script(_ENQUEUE)
        self._discard = redis.register_script(_DISCARD)
        self._pause = threading.Event()

    def enqueue(
        self,
        stream_id: str,
        pictures: Sequence[Picture],
        *,
        first_frame: int,
        max_frames: int,
        max_bytes: int,
    ) -> range:
        """Queue all the pictures, or none; returns their frame numbers.

        Args:
            first_frame: the least number that may be given out (one more than what is recorded).
        Raises: BacklogFull: too many wait. NotFound: no such stream is published.
        """
        fields: list[str | bytes | float | int] = []
        for picture in pictures:
            fields += [repr(picture.captured_at), int(picture.cut), picture.image]
        first = int(
            self._enqueue(
                [
                    keys.uploads(stream_id),
                    keys.upload_bytes(stream_id),
                    keys.next_upload(stream_id),
                    keys.registration(stream_id),
                ],
                [first_frame, max_frames, max_bytes, *fields],
            )
        )
        if first == -1:
            raise BacklogFull(f"uploads of stream {stream_id}", max_frames, RETRY_AFTER_S)
        if first < 0:
            raise NotFound("stream", stream_id)
        return range(first, first + len(pictures))

    def wait(
        self, after: Mapping[str, str], count: int, block_ms: int
    ) -> dict[str, list[QueuedFrame]]:
        """Read the oldest entries of several streams, which stay there; wait while there is none.

        Args:
            after: the id after which to read ("0-0": from the start), by stream.
            count: entries of each stream, at most.
        """
        if isinstance(self._redis, Cluster):
            return self._wait_on_cluster(after, count, block_ms)
        streams = {keys.uploads(stream_id): stream_id for stream_id in after}
        found = self._redis.xread(
            {key: after[stream_id] for key, stream_id in streams.items()}, count, block_ms
        )
        return {
            streams[key.decode()]: [_parse_entry(*row) for row in rows]
            for key, rows in cast(list[tuple[bytes, list[Entry]]], found or [])
        }

    def _wait_on_cluster(
        self, after: Mapping[str, str], count: int, block_ms: int
    ) -> dict[str, list[QueuedFrame]]:
        """Do what `wait` does on a cluster, where no command waits for several cameras' keys."""
        deadline = Deadline(block_ms / 1000)
        while True:
            pipeline = self._redis.pipeline(transaction=False)
            for stream_id, entry in after.items():
                pipeline.xrange(keys.uploads(stream_id), min=f"({entry}", count=count)
            found = zip(after, cast(list[list[Entry]], pipeline.execute()), strict=True)
            queued = {key: [_parse_entry(*row) for row in rows] for key, rows in found if rows}
            if queued or deadline.is_over:
                return queued
            self._pause.wait(POLL_S)

    def discard(self, stream_id: str, frame: QueuedFrame) -> None:
        """Delete a frame that can't be used."""
        self._discard(
            [keys.uploads(stream_id), keys.upload_bytes(stream_id)], [frame.entry, len(frame.image)]
        )


def _parse_entry(entry: bytes, fields: Mapping[bytes, bytes]) -> QueuedFrame:
    return QueuedFrame(
        entry=entry.decode(),
        meta=UploadedFrame(
            frame=int(fields[b"frame"]),
            captured_at=float(fields[b"captured_at"]),
            cut=fields[b"cut"] == b"1",
        ),
        image=fields[b"image"],
    )
