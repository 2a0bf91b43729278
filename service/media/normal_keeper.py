"""Keeps clips of events that are labelled normal, for the next training, and deletes others.

A front end keeps those whose clips are on its own shelf. An event that was deleted for its age
leaves its clip. Callers that change a label, or write a clip, report it (`notice`); other changes
are found page by page.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import structlog
from sqlalchemy import and_, select

from service.media.failure_log import FailureLog
from service.media.normal_clips import KeptClip, NormalClipFolder
from service.media.shelf import MediaKind, Shelf
from service.metrics import Metrics
from service.rounds import run_rounds
from service.settings import Settings
from service.store.database import Database
from service.store.deleted_streams import WITH_DELETED
from service.store.tables import EventMediaRow, EventRow, StreamRow
from service.timers import Timer

log = structlog.stdlib.get_logger(__name__)

EVERY_S = 1.0
SURVEY_EVERY_S = 10.0
PAGE = 100
"""Events that a round checks in addition to those that were noticed."""
MOST_NOTICED = 10_000
YOUNG_S = 120.0
"""Seconds in which a half-written file may still be under way."""
UNKNOWN_S = 7 * 86_400.0
"""Seconds after which the folder of a stream that no database knows is deleted."""
NORMAL = "normal"
KEPT, FAILED = "kept", "failed"
LABEL, BYTES, STREAM = "label", "bytes", "stream"
"""Why a clip is deleted: its label changed; there are too many bytes; its stream was deleted."""

_Key = tuple[str, str]
"""Stream and event."""


class NormalKeeper:
    """Makes a folder of normal footage follow the labels. `run` is a thread; any may `notice`."""

    def __init__(
        self,
        database: Database,
        shelf: Shelf,
        folder: NormalClipFolder,
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
        """The clips in the folder, as far as this process knows."""
        self._survey_timer = Timer(SURVEY_EVERY_S, clock)
        self._after_row = ""
        self._after_file: _Key = ("", "")
        self._failures = FailureLog("a clip of an event labelled normal can't be kept")

    def notice(self, event_id: str) -> None:
        """Note that an event's label was changed, or its clip written. It never waits."""
        with self._lock:
            if len(self._noticed) < MOST_NOTICED:
                self._noticed.add(event_id)

    def notice_streams(self) -> None:
        """Note that a stream was registered or deleted. It never waits."""
        self._survey_timer.expire()

    def run(self, stop: threading.Event) -> None:
        run_rounds(self.step, stop, name="normal footage", every_s=EVERY_S, on_failure=lambda: None)

    def step(self) -> bool:
        """Do a little of the work; return whether there is more to do at once.

        Raises: OSError, SQLAlchemyError: the disk or the database is away.
        """
        if self._survey_timer.restart_if_due():
            self._survey(self._clock())
        with self._lock:
            noticed = sorted(self._noticed)[:PAGE]
        self._settle({*noticed, *self._read_next_rows(), *self._list_next_files()})
        with self._lock:
            self._noticed -= {*noticed}
            return bool(self._noticed)

    def _survey(self, now: float) -> None:
        """Survey the whole folder: streams that came and went, and how much there is."""
        everyone = select(StreamRow.id, StreamRow.deleted_at).execution_options(
            **{WITH_DELETED: True}
        )
        with self._database.read() as session:
            known = {ident: deleted_at is None for ident, deleted_at in session.execute(everyone)}
        streams = {ident for ident, stays in known.items() if stays}
        for stream_id in self.folder.stream_ids():
            # An unknown stream may be of another database, which is back tomorrow.
            lost = stream_id not in known and self.folder.unknown_s(stream_id, now) > UNKNOWN_S
            if lost or known.get(stream_id) is False:
                gone = len(self.folder.clips(stream_id))
                self.folder.remove_stream(stream_id)
                self._log_deletion(gone, STREAM)
        kept: dict[_Key, KeptClip] = {}
        for stream_id in streams:
            self.folder.make_folder(stream_id)
            self.folder.mark_known(stream_id, now)
            self.folder.remove_parts(stream_id, now - YOUNG_S)
            kept |= {(stream_id, clip.event_id): clip for clip in self.folder.clips(stream_id)}
        self._kept = kept
        self._make_room(0, None)
        self._metrics.normal_footage_bytes.set(self._held_bytes)

    @property
    def _held_bytes(self) -> int:
        return sum(clip.size for clip in self._kept.values())

    def _read_next_rows(self) -> Sequence[str]:
        """Return the next page of events whose clips are on this shelf."""
        shelf = self._shelf.read_name()
        if shelf is None:
            return ()
        row = EventMediaRow
        query = select(row.event_id).where(row.shelf == shelf, row.kind == MediaKind.CLIP.value)
        query = query.where(row.event_id > self._after_row).order_by(row.event_id).limit(PAGE)
        with self._database.read() as session:
            page = session.scalars(query).all()
        self._after_row = page[-1] if len(page) == PAGE else ""
        return page

    def _list_next_files(self) -> Sequence[str]:
        """Return the next page of events whose clips are kept."""
        page = sorted(key for key in self._kept if key > self._after_file)[:PAGE]
        self._after_file = page[-1] if len(page) == PAGE else ("", "")
        return [event_id for _, event_id in page]

    def _settle(self, event_ids: Iterable[str]) -> None:
        """Keep or delete the clips of these events, as they are labelled now."""
        due = sorted(event_ids)
        if not due:
            return
        media = EventMediaRow
        query = select(EventRow.id, EventRow.stream_id, EventRow.label, media)
        clip_of = and_(media.event_id == EventRow.id, media.kind == MediaKind.CLIP.value)
        query = query.outerjoin(media, clip_of).where(EventRow.id.in_(due))
        with self._database.read() as session:
            found = session.execute(query).all()
        for event_id, stream_id, label, row in found:
            if label != NORMAL:
                self._delete((stream_id, event_id), LABEL)
            elif row is not None and (path := self._shelf.find_path(row)) is not None:
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
            self._failures.add(*key, error)
            return
        if kept is not None:
            self._kept[key] = kept
            self._metrics.normal_footage.labels(KEPT).inc()
            log.info("a clip of an event labelled normal is kept", stream=key[0], event_id=key[1])

    def _make_room(self, size: int, written_at: float | None) -> bool:
        """Delete the oldest clips until one of this size fits, but none that is newer than it."""
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
            self._delete(key, BYTES)
        return True

    def _delete(self, key: _Key, reason: str) -> None:
        clip = self._kept.pop(key, None)
        if clip is not None:
            self.folder.remove(clip)
            self._log_deletion(1, reason)

    def _log_deletion(self, count: int, reason: str) -> None:
        if count:
            self._metrics.normal_footage_deleted.labels(reason).inc(count)
            log.info("normal footage was deleted", count=count, reason=reason)
