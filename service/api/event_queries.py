"""Finds the events that a request asks for, and writes all of them as a file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated
from unicodedata import normalize

from fastapi import Depends, Query
from sqlalchemy import Row, Select, or_, select
from sqlalchemy.orm import Session, defer

from service.api.error_answers import refuse_field
from service.api.registered_streams import find_stream
from service.api.schemas.event_schemas import EventOut, describe_event
from service.api.times import ROUNDING_S, TimeIn, format_time
from service.media.shelf import find_media_kinds
from service.store.database import Database
from service.store.tables import EventRow, StreamRow

BATCH = 500
"""Events that an export reads at once."""
_FORMULA = frozenset("=+-@\t\r\n")
"""A text that begins with one of them, or with its full-width form, may be run as a formula."""


class LabelFilter(StrEnum):
    """The label that events have."""

    REAL = "real"
    NORMAL = "normal"
    NONE = "none"
    """They have no label yet."""


class ExportFormat(StrEnum):
    """Forms of a file of events."""

    CSV = "csv"
    JSONL = "jsonl"


MEDIA_TYPES = {ExportFormat.CSV: "text/csv", ExportFormat.JSONL: "application/x-ndjson"}


def select_events() -> Select[EventRow, str, bool]:
    """Select events, their stream's name and whether there is a picture, without the picture."""
    return (
        select(EventRow, StreamRow.name, EventRow.picture.is_not(None))
        .join(StreamRow, StreamRow.id == EventRow.stream_id)
        .options(defer(EventRow.picture, raiseload=True))
    )


def describe_events(session: Session, found: Sequence[Row[EventRow, str, bool]]) -> list[EventOut]:
    """Return the answers about rows that `select_events` selected."""
    media = find_media_kinds(session, [row.id for row, _, _ in found])
    return [
        describe_event(row, name, has_picture=has, media=media.get(row.id, ()))
        for row, name, has in found
    ]


@dataclass(frozen=True, slots=True)
class EventFilter:
    """The events that a request asks for; fields that are None don't matter."""

    stream_id: str | None
    since: float | None
    until: float | None
    is_open: bool | None
    label: LabelFilter | None

    def check(self, session: Session) -> None:
        """Raises: NotFound: there is no such stream."""
        if self.stream_id is not None:
            find_stream(session, self.stream_id)

    def select(self) -> Select[EventRow, str, bool]:
        """Select these events, in no order."""
        query = select_events()
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


def parse_event_filter(
    stream_id: Annotated[str | None, Query(description="Only events of this stream.")] = None,
    since: Annotated[
        TimeIn | None,
        Query(alias="from", description="Only events that went on at this time or later."),
    ] = None,
    until: Annotated[
        TimeIn | None,
        Query(alias="to", description="Only events that started at this time or earlier."),
    ] = None,
    is_open: Annotated[
        bool | None,
        Query(alias="open", description="Only events that go on, or only those that ended."),
    ] = None,
    label: Annotated[
        LabelFilter | None, Query(description="Only events with this label; `none`: without one.")
    ] = None,
) -> EventFilter:
    """Return the filter that a request names. Raises: RequestRefused: it ends before it begins."""
    if since is not None and until is not None and since > until:
        raise refuse_field(422, "from", "must not be later than to", format_time(since))
    return EventFilter(stream_id, since, until, is_open, label)


RequestedEvents = Annotated[EventFilter, Depends(parse_event_filter)]


def read_batches(database: Database, filters: EventFilter) -> Iterator[list[EventOut]]:
    """Yield all events, the oldest first, in batches.

    Each batch has a transaction of its own: a slow client keeps nothing open.
    """
    query = filters.select().order_by(EventRow.started_at, EventRow.id).limit(BATCH)
    after: tuple[float, str] | None = None
    while True:
        batch = query
        if after is not None:
            started_at, ident = after
            behind = or_(EventRow.started_at > started_at, EventRow.id > ident)
            batch = query.where(EventRow.started_at >= started_at, behind)
        with database.read() as session:
            found = session.execute(batch).all()
            events = describe_events(session, found)
        yield events
        if len(found) < BATCH:
            return
        last = found[-1][0]
        after = (last.started_at, last.id)


def write_jsonl(events: Iterator[list[EventOut]]) -> Iterator[str]:
    """Yield an object a line, as `GET /events` answers it."""
    for batch in events:
        yield "".join(f"{event.model_dump_json()}\n" for event in batch)


def list_cells(event: EventOut) -> dict[str, object]:
    """Return an event as a row of a table: lists and objects are JSON in their cells."""
    return {name: _make_cell(value) for name, value in event.model_dump(mode="json").items()}


def _make_cell(value: object) -> object:
    if isinstance(value, list | dict):
        return json.dumps(value)
    # A spreadsheet must not take a name or a note for a formula.
    if isinstance(value, str) and not _FORMULA.isdisjoint(normalize("NFKC", value[:1])):
        return f"'{value}"
    return value
