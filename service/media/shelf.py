"""The media folder of this machine: its files, and their rows in the database.

A file is written next to its place and then moved there, and its row follows. A crash between the
two leaves a file without a row, or a row without a file; `media_retention` deletes them.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.store.database import Database
from service.store.tables import EventMediaRow, EventRow


class MediaKind(StrEnum):
    """What a file shows of an event."""

    PEAK = "peak"
    """The picture with the highest score."""
    HEAT = "heat"
    """The same picture, with a heat map of where it is abnormal."""
    CLIP = "clip"
    """A video from a few seconds before the event to a few after."""

    @property
    def content_type(self) -> str:
        return "video/mp4" if self is MediaKind.CLIP else "image/jpeg"

    @property
    def suffix(self) -> str:
        return ".clip.mp4" if self is MediaKind.CLIP else f".{self.value}.jpg"


FOLDER = "media"
"""The folder's place below the data folder."""
MARK = ".shelf"
"""The file that holds the folder's own name, which its rows carry."""
PART = ".part"
_MARK_FORM = re.compile(r"[0-9a-f]{16}")
_SAFE = re.compile(r"[A-Za-z0-9_-]{1,32}")


class Shelf:
    """Files of events below one folder. Any thread may use it."""

    def __init__(self, root: Path, database: Database) -> None:
        self.root = root
        self._database = database
        self._marking = threading.Lock()

    def make_name(self) -> str:
        """Return the folder's own name; make the folder where there is none.

        Raises: OSError: it can't be made or read.
        """
        found = self.read_name()
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
        found = self.read_name()
        if found is None:
            raise OSError(f"{self.root / MARK} doesn't hold the name of a media folder")
        return found

    def read_name(self) -> str | None:
        """Return the folder's own name; None without the folder: its disk may not be mounted."""
        try:
            text = (self.root / MARK).read_text()
        except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
            return None
        return text if _MARK_FORM.fullmatch(text) else None

    def put(self, event_id: str, files: Mapping[MediaKind, bytes], now: float) -> bool:
        """Write files of an event, each in place of an older one; False: the event was deleted.

        Raises: OSError: the disk doesn't take them. SQLAlchemyError: the database is away.
        """
        shelf = self.make_name()
        for kind, data in files.items():
            self._write(event_id, kind, data)
        with self._database.write() as session:
            if not session.scalar(select(EventRow.id).where(EventRow.id == event_id)):
                for kind in files:
                    (self.root / make_media_path(event_id, kind)).unlink(missing_ok=True)
                return False
            for kind, data in files.items():
                row = EventMediaRow(
                    event_id=event_id,
                    kind=kind.value,
                    shelf=shelf,
                    path=make_media_path(event_id, kind),
                    content_type=kind.content_type,
                    size=len(data),
                    created_at=now,
                )
                session.merge(row)
        return True

    def _write(self, event_id: str, kind: MediaKind, data: bytes) -> None:
        path = self.root / make_media_path(event_id, kind)
        path.parent.mkdir(exist_ok=True)
        # Another front end on this machine may write the same.
        part = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PART}")
        try:
            with part.open("wb") as written:
                written.write(data)
                written.flush()
                os.fsync(written.fileno())
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise

    def kinds(self, event_id: str) -> set[MediaKind]:
        """Return the kinds of files that an event has, on any machine."""
        with self._database.read() as session:
            return set(find_media_kinds(session, [event_id]).get(event_id, ()))

    def find_path(self, row: EventMediaRow) -> Path | None:
        """Return where a row's file is; None where it isn't on this machine."""
        root = self.root.resolve()
        path = root / row.path
        # A link below the folder could lead to any file, so none is followed.
        if path.resolve() != path or row.shelf != self.read_name():
            return None
        return path if path.is_relative_to(root) and path.is_file() else None


def make_media_path(event_id: str, kind: MediaKind) -> str:
    """Return a file's path below the media folder, in one of 256 folders.

    Raises: ValueError: the id isn't one that normwatch gives.
    """
    if not _SAFE.fullmatch(event_id):
        raise ValueError(f"event_id must be letters, digits, _ and -, got {event_id!r}")
    folder = hashlib.sha256(event_id.encode()).hexdigest()[:2]
    return f"{folder}/{event_id}{kind.suffix}"


def find_media_kinds(session: Session, event_ids: Sequence[str]) -> dict[str, list[MediaKind]]:
    """Return the kinds of files that these events have, in the order of `MediaKind`."""
    query = select(EventMediaRow.event_id, EventMediaRow.kind)
    found: dict[str, list[MediaKind]] = {}
    rows = session.execute(query.where(EventMediaRow.event_id.in_(event_ids))).all()
    for kind in MediaKind:
        for event_id, name in rows:
            if name == kind.value:
                found.setdefault(event_id, []).append(kind)
    return found
