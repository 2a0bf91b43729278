"""The media folder of this machine: its files, and their rows in the database.

A file is written beside its place and then moved there, and its row follows. A file without a row,
and a row without a file, are what a crash between the two leaves; `retention` cleans them up.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.media.kinds import Kind
from service.store.database import Database
from service.store.tables import EventMediaRow, EventRow

FOLDER = "media"
"""Below the data folder."""
MARK = ".shelf"
"""Holds the folder's own name, which its rows carry."""
PART = ".part"
_MARK_FORM = re.compile(r"[0-9a-f]{16}")
_SAFE = re.compile(r"[A-Za-z0-9_-]{1,32}")


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to be written."""

    kind: Kind
    write: Callable[[Path], object]
    """Writes it to this path, with whatever error that takes."""


class Shelf:
    """Files of events below one folder. Any thread may use it."""

    def __init__(self, root: Path, database: Database) -> None:
        self.root = root
        self._database = database
        self._marking = threading.Lock()

    def name(self) -> str:
        """The folder's own name; makes the folder where there is none.

        Raises: OSError: it can't be made or read.
        """
        found = self.known_name()
        if found is not None:
            return found
        with self._marking:
            self.root.mkdir(parents=True, exist_ok=True)
            made = self.root / f"{MARK}.{secrets.token_hex(4)}"
            made.write_text(secrets.token_hex(8))
            # A link, for another process may do the same: the first one counts.
            with suppress(FileExistsError):
                os.link(made, self.root / MARK)
            made.unlink()
        found = self.known_name()
        if found is None:
            raise OSError(f"{self.root / MARK} doesn't hold the name of a media folder")
        return found

    def known_name(self) -> str | None:
        """As `name`, but None where there is no such folder: its disk may not be mounted."""
        try:
            text = (self.root / MARK).read_text()
        except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
            return None
        return text if _MARK_FORM.fullmatch(text) else None

    def put(self, event_id: str, files: Sequence[NewFile], now: float) -> bool:
        """Write files of an event, each instead of an older one; False where the event has gone.

        Raises: OSError: the disk doesn't take them. SQLAlchemyError: the database is away.
        """
        shelf = self.name()
        sizes = [self._write(event_id, file) for file in files]
        with self._database.write() as session:
            if not session.scalar(select(EventRow.id).where(EventRow.id == event_id)):
                for file in files:
                    (self.root / place_of(event_id, file.kind)).unlink(missing_ok=True)
                return False
            for file, size in zip(files, sizes, strict=True):
                row = EventMediaRow(
                    event_id=event_id,
                    kind=file.kind.value,
                    shelf=shelf,
                    path=place_of(event_id, file.kind),
                    content_type=file.kind.content_type,
                    size=size,
                    created_at=now,
                )
                session.merge(row)
        return True

    def _write(self, event_id: str, file: NewFile) -> int:
        path = self.root / place_of(event_id, file.kind)
        path.parent.mkdir(exist_ok=True)
        # Another front end on this machine may write the same.
        part = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PART}")
        try:
            file.write(part)
            with part.open("rb") as written:
                os.fsync(written.fileno())
                size = os.fstat(written.fileno()).st_size
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        return size

    def kinds(self, event_id: str) -> set[Kind]:
        """What there is of an event, on whatever machine."""
        with self._database.read() as session:
            return set(kinds_of(session, [event_id]).get(event_id, ()))

    def path_of(self, row: EventMediaRow) -> Path | None:
        """Where a row's file is; None where it isn't on this machine."""
        path = (self.root / row.path).resolve()
        if not path.is_relative_to(self.root.resolve()) or row.shelf != self.known_name():
            return None
        return path if path.is_file() else None


def place_of(event_id: str, kind: Kind) -> str:
    """Path below the media folder, in one of 256 folders.

    Raises: ValueError: the id is none that normwatch gives.
    """
    if not _SAFE.fullmatch(event_id):
        raise ValueError(f"event_id must be letters, digits, _ and -, got {event_id!r}")
    folder = hashlib.sha256(event_id.encode()).hexdigest()[:2]
    return f"{folder}/{event_id}{kind.suffix}"


def kinds_of(session: Session, event_ids: Sequence[str]) -> dict[str, list[Kind]]:
    """What there is of these events, in the order of `Kind`."""
    query = select(EventMediaRow.event_id, EventMediaRow.kind)
    found: dict[str, list[Kind]] = {}
    rows = session.execute(query.where(EventMediaRow.event_id.in_(event_ids))).all()
    for kind in Kind:
        for event_id, name in rows:
            if name == kind.value:
                found.setdefault(event_id, []).append(kind)
    return found
