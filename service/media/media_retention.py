"""Keeps the media folder within its limits, and the folder and its rows in agreement."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import structlog
from sqlalchemy import delete, func, select, tuple_

from service.media.shelf import PART, Shelf
from service.metrics import Metrics
from service.rounds import run_rounds
from service.settings import Settings
from service.store.database import Database
from service.store.tables import EventMediaRow
from service.timers import Timer

log = structlog.stdlib.get_logger(__name__)

EVERY_S = 1.0
LIMITS_EVERY_S = 10.0
STEP_ROWS = 100
"""Rows that one transaction deletes at most, so that it never holds the database for long."""
FOLDERS = 256
YOUNG_S = 120.0
"""Seconds in which a file without a row may be one whose row is being written."""
DAY_S = 86_400.0
AGE, BYTES, ORPHAN, MISSING = "age", "bytes", "orphan", "missing"
"""Why a file or row is deleted: limits; a file without a row; a row without its file."""

_Key = tuple[str, str]
"""Event and kind."""


class MediaRetention:
    """Cleans one media folder. `run` is a thread."""

    def __init__(
        self,
        database: Database,
        shelf: Shelf,
        settings: Settings,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._shelf = shelf
        self._metrics = metrics
        self._clock = clock
        self._max_age_s = settings.event_media_days * DAY_S
        self._max_bytes = settings.event_media_bytes
        self._limits_timer = Timer(LIMITS_EVERY_S, clock)
        self._folder = 0
        self._after: _Key = ("", "")

    def run(self, stop: threading.Event) -> None:
        run_rounds(
            self.step, stop, name="media retention", every_s=EVERY_S, on_failure=lambda: None
        )

    def step(self) -> bool:
        """Do a little of the work; return whether there is more to do at once.

        Raises: OSError, SQLAlchemyError: the disk or the database is away.
        """
        shelf = self._shelf.read_name()
        if shelf is None:
            # Nothing was kept yet; or the disk isn't mounted, and then all rows would seem wrong.
            return False
        now = self._clock()
        if self._limits_timer.is_due:
            if self._limit(shelf, now):
                return True
            self._limits_timer.restart()
        self._sweep_folder(shelf, now)
        self._sweep_rows(shelf)
        return False

    def _limit(self, shelf: str, now: float) -> bool:
        """Delete some of what is too old or too much; return whether there may be more."""
        row = EventMediaRow
        too_old = now - self._max_age_s
        query = select(row.event_id, row.kind, row.path, row.size, row.created_at)
        query = query.order_by(row.created_at, row.event_id, row.kind).limit(STEP_ROWS)
        with self._database.read() as session:
            total = session.scalar(select(func.sum(row.size)).where(row.shelf == shelf)) or 0
            oldest = session.execute(query.where(row.shelf == shelf)).all()
            # These belong to a machine that is gone and can't delete them itself.
            abandoned = query.where(row.shelf != shelf, row.created_at < too_old - DAY_S)
            foreign = session.execute(abandoned).all()
        going: dict[str, list[tuple[_Key, str]]] = {AGE: [], BYTES: []}
        for event_id, kind, path, size, created_at in oldest:
            if created_at >= too_old and total <= self._max_bytes:
                break
            going[AGE if created_at < too_old else BYTES].append(((event_id, kind), path))
            total -= size
        for reason, files in going.items():
            self._delete(files, reason)
        self._forget([(event_id, kind) for event_id, kind, *_ in foreign])
        self._metrics.event_media_bytes.set(total)
        return total > self._max_bytes or len(going[AGE]) >= STEP_ROWS

    def _delete(self, files: Sequence[tuple[_Key, str]], reason: str) -> None:
        self._forget([key for key, _ in files])
        for _, path in files:
            (self._shelf.root / path).unlink(missing_ok=True)
        self._count(len(files), reason)

    def _forget(self, keys: Sequence[_Key]) -> None:
        if keys:
            pair = tuple_(EventMediaRow.event_id, EventMediaRow.kind)
            with self._database.write() as session:
                session.execute(delete(EventMediaRow).where(pair.in_(keys)))

    def _sweep_folder(self, shelf: str, now: float) -> None:
        """Delete the files of one folder that have no row: the event or its stream was deleted."""
        folder = self._shelf.root / f"{self._folder:02x}"
        self._folder = (self._folder + 1) % FOLDERS
        files = _list_files(folder)
        if not files:
            return
        names = {name.partition(".")[0] for name in files}
        query = select(EventMediaRow.path).where(EventMediaRow.shelf == shelf)
        with self._database.read() as session:
            paths = set(session.scalars(query.where(EventMediaRow.event_id.in_(names))))
        orphans = [
            folder / name
            for name, changed_at in files.items()
            if (name.endswith(PART) or f"{folder.name}/{name}" not in paths)
            and abs(now - changed_at) > YOUNG_S
        ]
        for path in orphans:
            path.unlink(missing_ok=True)
        self._count(len(orphans), ORPHAN)

    def _sweep_rows(self, shelf: str) -> None:
        """Delete those rows of one page whose files are gone."""
        row = EventMediaRow
        pair = tuple_(row.event_id, row.kind)
        query = select(row.event_id, row.kind, row.path).where(row.shelf == shelf)
        with self._database.read() as session:
            page = session.execute(
                query.where(pair > self._after).order_by(row.event_id, row.kind).limit(STEP_ROWS)
            ).all()
        self._after = (page[-1][0], page[-1][1]) if len(page) == STEP_ROWS else ("", "")
        missing = [
            (event_id, kind)
            for event_id, kind, path in page
            if not (self._shelf.root / path).exists()
        ]
        if missing and self._shelf.read_name() == shelf:
            self._forget(missing)
            self._count(len(missing), MISSING)

    def _count(self, count: int, reason: str) -> None:
        if count:
            self._metrics.event_media_deleted.labels(reason).inc(count)
            log.info("files of events were deleted", count=count, reason=reason)


def _list_files(folder: Path) -> dict[str, float]:
    """Return the names of a folder's files with their times; none where there is no folder."""
    found: dict[str, float] = {}
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                if entry.is_file(follow_symlinks=False):
                    found[entry.name] = entry.stat(follow_symlinks=False).st_mtime
    return found
