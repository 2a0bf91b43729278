"""Keeps clips of events that somebody called normal, for the next training, and lets others go.

A front end keeps those whose clips are on its own shelf. Labels decide; an event that went for its
age leaves its clip. Whoever changes a label, or writes a clip, says so (`notice`); what nobody said
is found by and by.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import structlog
from sqlalchemy import and_, select

from service.media.kinds import Kind
from service.media.normal import KeptClip, NormalFolder
from service.media.shelf import Shelf
from service.metrics import Metrics
from service.rounds import run_rounds
from service.settings import Settings
from service.store.database import Database
from service.store.hidden import WITH_DELETED
from service.store.tables import EventMediaRow, EventRow, StreamRow

log = structlog.stdlib.get_logger(__name__)

EVERY_S = 1.0
SURVEY_EVERY_S = 10.0
PAGE = 100
"""Events that a round looks at, beside those that it was told of: a label lies behind a picture."""
MOST_NOTICED = 10_000
YOUNG_S = 120.0
"""A file that is half written may be under way."""
UNKNOWN_S = 7 * 86_400.0
"""A folder of a stream that no database knew for so long goes."""
FAILURE_LOG_S = 60.0
NORMAL = "normal"
KEPT, FAILED = "kept", "failed"
LABEL, BYTES, STREAM = "label", "bytes", "stream"
"""Why a clip goes: it isn't called normal any more; there are too many; its stream was deleted."""

_Key = tuple[str, str]
"""Stream and event."""


class NormalKeeper:
    """Makes a folder of normal footage follow the labels. `run` is a thread, `notice` for any."""

    def __init__(
        self,
        database: Database,
        shelf: Shelf,
        folder: NormalFolder,
        settings: Settings,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder = folder
        self._database = database
        self._shelf = shelf
        self._metrics = metrics
        self._clock = clock
        self._max_bytes = settings.normal_footage_bytes
        self._lock = threading.Lock()
        self._noticed: set[str] = set()
        self._kept: dict[_Key, KeptClip] = {}
        """What is in the folder, as far as this process knows."""
        self._surveyed_at: float | None = None
        self._after_row = ""
        self._after_file: _Key = ("", "")
        self._failure_logged_at: float | None = None

    def notice(self, event_id: str) -> None:
        """An event's label was changed, or its clip was written. Never waits."""
        with self._lock:
            if len(self._noticed) < MOST_NOTICED:
                self._noticed.add(event_id)

    def notice_streams(self) -> None:
        """A stream was registered or deleted. Never waits."""
        self._surveyed_at = None

    def run(self, stop: threading.Event) -> None:
        """Follow the labels until stopped."""
        run_rounds(self.step, stop, name="normal footage", every_s=EVERY_S, on_failure=lambda: None)

    def step(self) -> bool:
        """A little of the work; whether there is more to do at once.

        Raises: OSError, SQLAlchemyError: the disk or the database is away.
        """
        now = self._clock()
        if self._surveyed_at is None or not 0.0 <= now - self._surveyed_at < SURVEY_EVERY_S:
            self._surveyed_at = now
            self._survey(now)
        with self._lock:
            told = sorted(self._noticed)[:PAGE]
        self._settle({*told, *self._next_rows(), *self._next_files()})
        with self._lock:
            self._noticed -= {*told}
            return bool(self._noticed)

    def _survey(self, now: float) -> None:
        """Look at the whole folder: streams that came and went, and how much there is."""
        everyone = select(StreamRow.id, StreamRow.deleted_at).execution_options(
            **{WITH_DELETED: True}
        )
        with self._database.read() as session:
            known = {ident: deleted_at is None for ident, deleted_at in session.execute(everyone)}
        streams = {ident for ident, stays in known.items() if stays}
        for stream_id in self.folder.stream_ids():
            # One that nobody knows may be of another database, which is back tomorrow.
            lost = stream_id not in known and self.folder.unseen_s(stream_id, now) > UNKNOWN_S
            if lost or known.get(stream_id) is False:
                gone = len(self.folder.clips(stream_id))
                self.folder.remove_stream(stream_id)
                self._count_deleted(gone, STREAM)
        kept: dict[_Key, KeptClip] = {}
        for stream_id in streams:
            self.folder.make(stream_id)
            self.folder.see(stream_id, now)
            self.folder.remove_parts(stream_id, now - YOUNG_S)
            kept |= {(stream_id, clip.event_id): clip for clip in self.folder.clips(stream_id)}
        self._kept = kept
        self._make_room(0, None)
        self._metrics.normal_footage_bytes.set(self._held_bytes)

    @property
    def _held_bytes(self) -> int:
        return sum(clip.size for clip in self._kept.values())

    def _next_rows(self) -> Sequence[str]:
        """The next page of events whose clips are on this shelf."""
        shelf = self._shelf.known_name()
        if shelf is None:
            return ()
        row = EventMediaRow
        query = select(row.event_id).where(row.shelf == shelf, row.kind == Kind.CLIP.value)
        query = query.where(row.event_id > self._after_row).order_by(row.event_id).limit(PAGE)
        with self._database.read() as session:
            page = session.scalars(query).all()
        self._after_row = page[-1] if len(page) == PAGE else ""
        return page

    def _next_files(self) -> Sequence[str]:
        """The next page of events whose clips are kept."""
        page = sorted(key for key in self._kept if key > self._after_file)[:PAGE]
        self._after_file = page[-1] if len(page) == PAGE else ("", "")
        return [event_id for _, event_id in page]

    def _settle(self, event_ids: Iterable[str]) -> None:
        """Keep or delete the clips of these events, as they are labelled now."""
        wanted = sorted(event_ids)
        if not wanted:
            return
        media = EventMediaRow
        query = select(EventRow.id, EventRow.stream_id, EventRow.label, media)
        clip_of = and_(media.event_id == EventRow.id, media.kind == Kind.CLIP.value)
        query = query.outerjoin(media, clip_of).where(EventRow.id.in_(wanted))
        with self._database.read() as session:
            found = session.execute(query).all()
        for event_id, stream_id, label, row in found:
            if label != NORMAL:
                self._let_go((stream_id, event_id), LABEL)
            elif row is not None and (path := self._shelf.path_of(row)) is not None:
                self._keep((stream_id, event_id), path)
        self._metrics.normal_footage_bytes.set(self._held_bytes)

    def _keep(self, key: _Key, path: Path) -> None:
        known = self._kept.get(key)
        try:
            stat = path.stat()
            if known is not None and known.size == stat.st_size:
                return
            if not self._make_room(stat.st_size, stat.st_mtime):
                return
            self.folder.put(*key, path)
            kept = self.folder.clip(*key)
        except FileNotFoundError:  # it has just been deleted for its age
            return
        except OSError as error:
            self._metrics.normal_footage.labels(FAILED).inc()
            self._tell_failure(key, error)
            return
        if kept is not None:
            self._kept[key] = kept
            self._metrics.normal_footage.labels(KEPT).inc()
            log.info("footage that was called normal is kept", stream=key[0], event_id=key[1])

    def _make_room(self, size: int, written_at: float | None) -> bool:
        """Delete the oldest clips until so much more fits, but none that is newer than it."""
        surplus = self._held_bytes + size - self._max_bytes
        if surplus <= 0:
            return True
        going: list[_Key] = []
        for key, clip in sorted(self._kept.items(), key=lambda item: item[1].written_at):
            if surplus <= 0 or (written_at is not None and clip.written_at >= written_at):
                break
            going.append(key)
            surplus -= clip.size
        if surplus > 0:
            return False
        for key in going:
            self._let_go(key, BYTES)
        return True

    def _let_go(self, key: _Key, reason: str) -> None:
        clip = self._kept.pop(key, None)
        if clip is not None:
            self.folder.remove(clip)
            self._count_deleted(1, reason)

    def _count_deleted(self, count: int, reason: str) -> None:
        if count:
            self._metrics.normal_footage_deleted.labels(reason).inc(count)
            log.info("normal footage was deleted", count=count, reason=reason)

    def _tell_failure(self, key: _Key, error: OSError) -> None:
        """A disk that is full fails for every clip: it is told once a minute."""
        now = self._clock()
        last = self._failure_logged_at
        if last is None or not 0.0 <= now - last < FAILURE_LOG_S:
            self._failure_logged_at = now
            log.error(
                "footage that was called normal can't be kept",
                stream=key[0],
                event_id=key[1],
                error=f"{type(error).__name__}: {error}",
            )
