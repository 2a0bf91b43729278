"""Events as they are asked for: which ones, and all of them as a file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, Query
from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session, defer

from service.api.errors import field_refused
from service.api.schemas.events import EventOut, event_out
from service.api.streams import find_stream
from service.api.times import ROUNDING_S, TimeIn, iso_time
from service.media.shelf import kinds_of
from service.store.database import Database
from service.store.tables import EventRow, StreamRow

BATCH = 500
"""Events that an export holds at once."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class LabelFilter(StrEnum):
    """How events were judged."""

    REAL = "real"
    NORMAL = "normal"
    NONE = "none"
    """Not yet."""


class ExportFormat(StrEnum):
    """Forms of a file of events."""

    CSV = "csv"
    JSONL = "jsonl"


MEDIA_TYPES = {ExportFormat.CSV: "text/csv", ExportFormat.JSONL: "application/x-ndjson"}


def events_query() -> Select[EventRow, str, bool]:
    """Events with their stream's name and whether there is a picture; never the picture itself."""
    return (
        select(EventRow, StreamRow.name, EventRow.snapshot.is_not(None))
        .join(StreamRow, StreamRow.id == EventRow.stream_id)
        .options(defer(EventRow.snapshot, raiseload=True))
    )


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are wanted; what is None doesn't matter."""

    stream_id: str | None
    since: float | None
    until: float | None
    is_open: bool | None
    label: LabelFilter | None

    def check(self, session: Session) -> None:
        """Raises: NotFound: there is no such stream."""
        if self.stream_id is not None:
            find_stream(session, self.stream_id)

    def query(self) -> Select[EventRow, str, bool]:
        """`events_query` of those alone, in no order."""
        query = events_query()
        if self.stream_id is not None:
            query = query.where(EventRow.stream_id == self.stream_id)
        if self.since is not None:
            since = self.since - ROUNDING_S
            query = query.where(or_(EventRow.ended_at.is_(None), EventRow.ended_at >= since))
        if self.until is not None:
            query = query.where(EventRow.started_at <= self.until + ROUNDING_S)
        if self.is_open is not None:
            ended = EventRow.ended_at
            query = query.where(ended.is_(None) if self.is_open else ended.is_not(None))
        if self.label is not None:
            named = None if self.label is LabelFilter.NONE else self.label.value
            query = query.where(EventRow.label.is_not_distinct_from(named))
        return query


def event_filter(
    stream_id: Annotated[str | None, Query(description="Of this stream alone.")] = None,
    since: Annotated[
        TimeIn | None, Query(alias="from", description="That went on at this time or later.")
    ] = None,
    until: Annotated[
        TimeIn | None, Query(alias="to", description="That started at this time or earlier.")
    ] = None,
    is_open: Annotated[
        bool | None, Query(alias="open", description="Only those that go on, or that ended.")
    ] = None,
    label: Annotated[
        LabelFilter | None,
        Query(description="Judged so, or `none`: not judged yet."),
    ] = None,
) -> EventFilter:
    """The filter that a request names. Raises: Refused: it ends before it begins."""
    if since is not None and until is not None and since > until:
        raise field_refused(422, "from", "must not be later than to", iso_time(since))
    return EventFilter(stream_id, since, until, is_open, label)


Wanted = Annotated[EventFilter, Depends(event_filter)]


def batches(database: Database, wanted: EventFilter) -> Iterator[list[EventOut]]:
    """All of them, the oldest first, some at a time.

    Each batch has a transaction of its own: a slow reader keeps nothing open.
    """
    query = wanted.query().order_by(EventRow.started_at, EventRow.id).limit(BATCH)
    after: tuple[float, str] | None = None
    while True:
        batch = query
        if after is not None:
            started_at, ident = after
            behind = or_(EventRow.started_at > started_at, EventRow.id > ident)
            batch = query.where(EventRow.started_at >= started_at, behind)
        with database.read() as session:
            found = session.execute(batch).all()
            media = kinds_of(session, [row.id for row, _, _ in found])
        yield [
            event_out(row, name, has_snapshot=has, media=media.get(row.id, ()))
            for row, name, has in found
        ]
        if len(found) < BATCH:
            return
        last = found[-1][0]
        after = (last.started_at, last.id)


def as_jsonl(events: Iterator[list[EventOut]]) -> Iterator[str]:
    """An object a line, as `GET /events` shows it."""
    for batch in events:
        yield "".join(f"{event.model_dump_json()}\n" for event in batch)


def as_csv(events: Iterator[list[EventOut]]) -> Iterator[str]:
    """A line of names, and a line an event; what isn't one value is JSON in its cell."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(EventOut.model_fields), lineterminator="\n")
    writer.writeheader()
    for batch in events:
        for event in batch:
            values = event.model_dump(mode="json")
            writer.writerow({name: _cell(value) for name, value in values.items()})
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _cell(value: object) -> object:
    if isinstance(value, list | dict):
        return json.dumps(value)
    # A spreadsheet must not take a name or a note for a formula.
    is_formula = isinstance(value, str) and value.startswith(_FORMULA)
    return f"'{value}" if is_formula else value
