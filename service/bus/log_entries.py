"""Entries of streams' logs on their way from the worker to the recorder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog
from pydantic import ValidationError
from redis import Redis

from service import keys
from service.bus.many_cameras import Entry, read_queues
from service.messages import StreamNote

log = structlog.stdlib.get_logger(__name__)

MAX_WAITING = 500
"""Notes of one stream that wait while nobody records; the oldest goes first."""

_PUBLISH = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[3], '*', 'note', ARGV[2])
return 1
"""


@dataclass(frozen=True, slots=True)
class IncomingNote:
    """A note as it waits in the queue."""

    entry: str
    """Its id in Redis: rises, and is never reused."""
    note: StreamNote


class Notes:
    """The notes of all streams."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._publish = redis.register_script(_PUBLISH)

    def publish(self, stream_id: str, note: StreamNote) -> bool:
        """Send a note; False where its epoch isn't the camera's any more: nothing was written."""
        names = [keys.epoch(stream_id), keys.notes(stream_id)]
        return bool(self._publish(names, [note.epoch, note.model_dump_json(), MAX_WAITING]))

    def read(self, stream_ids: Sequence[str], count: int) -> dict[str, list[IncomingNote]]:
        """Read up to `count` notes of each stream, the oldest first. Empty streams are absent."""
        streams = {keys.notes(stream_id): stream_id for stream_id in stream_ids}
        queues = read_queues(self._redis, list(streams), count)
        found = {streams[key]: self._parse(streams[key], queues[key]) for key in queues}
        return {key: notes for key, notes in found.items() if notes}

    def acknowledge(self, entries: Mapping[str, Sequence[str]]) -> None:
        """Delete what is in the database now."""
        pipeline = self._redis.pipeline(transaction=False)
        for stream_id, ids in entries.items():
            if ids:
                pipeline.xdel(keys.notes(stream_id), *ids)
        pipeline.execute()

    def _parse(self, stream_id: str, entries: Sequence[Entry]) -> list[IncomingNote]:
        notes: list[IncomingNote] = []
        for ident, fields in entries:
            try:
                note = StreamNote.model_validate_json(fields[b"note"])
            except (ValidationError, KeyError):
                log.error("an entry that is no note was dropped", stream=stream_id)
                self._redis.xdel(keys.notes(stream_id), ident)
                continue
            notes.append(IncomingNote(ident.decode(), note))
        return notes
