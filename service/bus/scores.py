"""Scores on their way from the worker to the recorder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import cast

from pydantic import ValidationError
from redis import Redis

from service import keys
from service.bus.uploads import QueuedFrame
from service.messages import FrameScore

_PUBLISH = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
if ARGV[5] ~= '' and redis.call('XDEL', KEYS[4], ARGV[5]) == 1 then
  redis.call('DECRBY', KEYS[5], ARGV[6])
end
if tonumber(redis.call('GET', KEYS[2]) or '-1') >= tonumber(ARGV[2]) then return -2 end
redis.call('XADD', KEYS[3], '*', 'score', ARGV[3])
redis.call('SET', KEYS[2], ARGV[2])
return redis.call('XTRIM', KEYS[3], 'MAXLEN', ARGV[4])
"""


class Verdict(Enum):
    """What became of a score."""

    PUBLISHED = "published"
    STALE_OWNER = "stale_owner"
    """Its epoch isn't the camera's any more: nothing was written."""
    DUPLICATE = "duplicate"
    """The frame, or a later one, had been published before."""


@dataclass(frozen=True, slots=True)
class Published:
    """The answer to a score."""

    verdict: Verdict
    evicted: int = 0
    """Older scores that the bound on the backlog pushed out unrecorded."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A score to publish, with the queued upload that it settles."""

    stream_id: str
    score: FrameScore
    upload: QueuedFrame | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """A score as the recorder finds it."""

    entry: str
    score: FrameScore


class Scores:
    """The queues of scores. Each entry stays until the recorder has stored it."""

    def __init__(self, redis: Redis, max_backlog: int) -> None:
        self._redis = redis
        self._max_backlog = max_backlog
        self._publish = redis.register_script(_PUBLISH)

    def publish(self, batch: Sequence[Outgoing]) -> list[Published]:
        """Publish one batch in one round trip; each score is fenced by its epoch."""
        if not batch:
            return []
        pipeline = self._redis.pipeline(transaction=False)
        for out in batch:
            stream_id, upload = out.stream_id, out.upload
            self._publish(
                [
                    keys.epoch(stream_id),
                    keys.last_frame(stream_id),
                    keys.scores(stream_id),
                    keys.uploads(stream_id),
                    keys.upload_bytes(stream_id),
                ],
                [
                    out.score.epoch,
                    out.score.frame,
                    out.score.model_dump_json(exclude_none=True),
                    self._max_backlog,
                    upload.entry if upload else "",
                    len(upload.image) if upload else 0,
                ],
                client=pipeline,
            )
        verdicts = {-1: Verdict.STALE_OWNER, -2: Verdict.DUPLICATE}
        return [
            Published(verdicts[answer])
            if answer in verdicts
            else Published(Verdict.PUBLISHED, answer)
            for answer in map(int, pipeline.execute())
        ]

    def read(self, stream_ids: Sequence[str], count: int) -> dict[str, list[Incoming]]:
        """The oldest scores of each stream, left where they are; streams without any are absent.

        Raises: pydantic.ValidationError: an entry is no score; `drop_malformed` helps.
        """
        pipeline = self._redis.pipeline(transaction=False)
        for stream_id in stream_ids:
            pipeline.xrange(keys.scores(stream_id), count=count)
        return {
            stream_id: [
                Incoming(entry.decode(), FrameScore.model_validate_json(fields.get(b"score", b"")))
                for entry, fields in rows
            ]
            for stream_id, rows in zip(stream_ids, pipeline.execute(), strict=True)
            if rows
        }

    def drop_malformed(self, stream_ids: Sequence[str], count: int) -> dict[str, int]:
        """Delete those of the oldest entries that `read` can't take; how many, by stream."""
        dropped: dict[str, int] = {}
        for stream_id in stream_ids:
            found = self._redis.xrange(keys.scores(stream_id), count=count)
            rows = cast(list[tuple[bytes, dict[bytes, bytes]]], found)
            entries = [entry for entry, fields in rows if not _is_score(fields)]
            if entries:
                self._redis.xdel(keys.scores(stream_id), *entries)
                dropped[stream_id] = len(entries)
        return dropped

    def waiting(self, stream_ids: Sequence[str]) -> int:
        """How many scores of these streams wait for the recorder, in all."""
        pipeline = self._redis.pipeline(transaction=False)
        for stream_id in stream_ids:
            pipeline.xlen(keys.scores(stream_id))
        return sum(map(int, pipeline.execute()))

    def acknowledge(self, entries: Mapping[str, Sequence[str]]) -> None:
        """Delete what is stored now, by stream. Called after the commit, never before."""
        pipeline = self._redis.pipeline(transaction=False)
        for stream_id, each in entries.items():
            if each:
                pipeline.xdel(keys.scores(stream_id), *each)
        pipeline.execute()

    def last_frame(self, stream_id: str) -> int:
        """Number of the newest published frame; -1 before the first."""
        last = self._redis.get(keys.last_frame(stream_id))
        return -1 if last is None else int(last)


def _is_score(fields: Mapping[bytes, bytes]) -> bool:
    try:
        FrameScore.model_validate_json(fields.get(b"score", b""))
    except ValidationError:
        return False
    return True
