"""The streams' cursors, as the recorder knows them from one round to the next."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import structlog
from sqlalchemy import Row, select

from model.events.event_detection import DetectionState
from service.record.detection_input import from_json
from service.store.database import Database
from service.store.tables import CursorRow

log = structlog.stdlib.get_logger(__name__)

_COLUMNS = CursorRow.__table__.c
_CURSORS = select(
    _COLUMNS.stream_id,
    _COLUMNS.version,
    _COLUMNS.last_frame,
    _COLUMNS.recorded_at,
    _COLUMNS.detection,
    _COLUMNS.notified_at,
)
DOUBTED_AT_ONCE = 500
"""More doubtful cursors than these are read with all the others."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a stream is recorded, and the state of its event detection."""

    version: int | None
    """None: there is no row yet."""
    last_frame: int
    recorded_at: float
    detection: DetectionState
    notified_at: float | None = None
    """When the stream's newest `event.started` message was made."""


_FIRST = Cursor(version=None, last_frame=-1, recorded_at=0.0, detection=DetectionState())


class Cursors:
    """Reads the cursors once, and again those that are in doubt after a write.

    What is remembered may be old, where another recorder has written meanwhile: each write compares
    the version.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, Cursor] | None = None
        self._doubtful: set[str] = set()

    def forget(self) -> None:
        """Read everything again before the next write."""
        self._known = None
        self._doubtful.clear()

    def doubt(self, stream_ids: Collection[str]) -> None:
        """Note that a write of these begins: unless `settle` ends it, they are read again."""
        self._doubtful.update(stream_ids)

    def settle(self, cursors: Mapping[str, Cursor]) -> None:
        """Remember cursors that were committed."""
        if self._known is not None:
            self._known.update(cursors)
        self._doubtful.difference_update(cursors)

    def read(self) -> Mapping[str, Cursor]:
        """Return the cursors of all streams that have one."""
        known = self._known
        if known is None or len(self._doubtful) > DOUBTED_AT_ONCE:
            known = self._known = self._load(None)
        elif self._doubtful:
            for stream_id in self._doubtful:
                known.pop(stream_id, None)
            known.update(self._load(self._doubtful))
        self._doubtful.clear()
        return known

    def get(self, stream_id: str) -> Cursor:
        """Return the stream's cursor, or the initial one before its first score."""
        return self.read().get(stream_id, _FIRST)

    def find_silent_events(self, before: float) -> Iterator[tuple[str, Cursor]]:
        """Yield streams with a reported event that goes on, and no score since that time."""
        for stream_id, cursor in self.read().items():
            if cursor.recorded_at < before and cursor.detection.reported is not None:
                yield stream_id, cursor

    def keep(self, stream_ids: Collection[str]) -> None:
        """Forget all streams but these."""
        if self._known is not None and not self._known.keys() <= set(stream_ids):
            self._known = {key: self._known[key] for key in stream_ids if key in self._known}

    def _load(self, stream_ids: Collection[str] | None) -> dict[str, Cursor]:
        query = _CURSORS
        if stream_ids is not None:
            query = query.where(_COLUMNS.stream_id.in_(stream_ids))
        with self._database.read() as session:
            rows = session.connection().execute(query)
            return {row.stream_id: _make_cursor(row) for row in rows}


def _make_cursor(row: Row[str, int, int, float, dict[str, object], float | None]) -> Cursor:
    try:
        detection = from_json(row.detection)
    except ValueError:
        stream_id = row.stream_id
        log.error("the state of event detection can't be read; it starts again", stream=stream_id)
        detection = DetectionState()
    return Cursor(row.version, row.last_frame, row.recorded_at, detection, row.notified_at)
