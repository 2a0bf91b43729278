"""Clips of events that somebody called normal, kept for the next training.

They are `DATA_DIR/normal/STREAM_ID/EVENT_ID.mp4`. This is the folder alone: what belongs into it,
`service.media.normal_keeper` decides.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from service.media import clip as clips
from service.media.clip import ClipLength

FOLDER = "normal"
"""Below the data folder."""
SUFFIX = ".mp4"
PART = ".part"
SEEN_EVERY_S = 3600.0
_SAFE = re.compile(r"[A-Za-z0-9_-]{1,32}")
_REMEMBERED = 16_384


@dataclass(frozen=True, slots=True)
class KeptClip:
    """A file of the folder."""

    stream_id: str
    event_id: str
    path: Path
    size: int
    """Bytes."""
    written_at: float
    """When the clip was written, a few seconds after its event."""


class NormalFolder:
    """Files below one folder; none of them is followed out of it by a link."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def of_stream(self, stream_id: str) -> Path:
        """A stream's folder, whether it is there or not.

        Raises: ValueError: the id is none that normwatch gives.
        """
        return self.root / _checked("stream_id", stream_id)

    def place_of(self, stream_id: str, event_id: str) -> Path:
        """A clip's path, whether it is there or not. Raises: ValueError: as `of_stream`."""
        return self.of_stream(stream_id) / f"{_checked('event_id', event_id)}{SUFFIX}"

    def stream_ids(self) -> list[str]:
        """Streams that have a folder."""
        with suppress(FileNotFoundError), os.scandir(self.root) as entries:
            return sorted(
                entry.name
                for entry in entries
                if _SAFE.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            )
        return []

    def clips(self, stream_id: str) -> list[KeptClip]:
        """A stream's clips, the oldest first; none where it has no folder.

        Raises: ValueError: as `of_stream`.
        """
        found = [
            KeptClip(stream_id, name.removesuffix(SUFFIX), path, stat.st_size, stat.st_mtime)
            for name, path, stat in self._files(stream_id)
            if name.endswith(SUFFIX) and _SAFE.fullmatch(name.removesuffix(SUFFIX))
        ]
        return sorted(found, key=lambda clip: (clip.written_at, clip.event_id))

    def clip(self, stream_id: str, event_id: str) -> KeptClip | None:
        """One clip, if it is there. Raises: ValueError: as `of_stream`."""
        path = self.place_of(stream_id, event_id)
        if path.is_symlink() or not path.is_file() or self._is_link(stream_id):
            return None
        stat = path.stat()
        return KeptClip(stream_id, event_id, path, stat.st_size, stat.st_mtime)

    def make(self, stream_id: str) -> None:
        """Make a stream's folder, where there is none."""
        self.of_stream(stream_id).mkdir(parents=True, exist_ok=True)

    def see(self, stream_id: str, now: float) -> None:
        """Say that the stream of a folder is known now."""
        if self.unseen_s(stream_id, now) > SEEN_EVERY_S and not self._is_link(stream_id):
            os.utime(self.of_stream(stream_id), (now, now))

    def unseen_s(self, stream_id: str, now: float) -> float:
        """Seconds since the stream of a folder was known, or a file came or went, by its time."""
        return now - self.of_stream(stream_id).lstat().st_mtime

    def put(self, stream_id: str, event_id: str, source: Path) -> None:
        """Keep a file: linked where the disk can, else copied; whole or not at all.

        Raises: OSError: it can't be, or the stream's folder is a link.
        """
        place = self.place_of(stream_id, event_id)
        self.make(stream_id)
        if self._is_link(stream_id):
            raise OSError(f"{place.parent} is a link: nothing is kept there")
        part = place.with_name(f"{place.name}.{secrets.token_hex(4)}{PART}")
        try:
            _link_or_copy(source, part)
            part.replace(place)
        finally:
            # A rename to another name of the same file leaves both.
            part.unlink(missing_ok=True)

    def remove(self, clip: KeptClip) -> None:
        """Delete a clip, if it is there."""
        self.place_of(clip.stream_id, clip.event_id).unlink(missing_ok=True)

    def remove_stream(self, stream_id: str) -> None:
        """Delete a stream's folder, with what is in it."""
        folder = self.of_stream(stream_id)
        if self._is_link(stream_id):
            folder.unlink()
        else:
            shutil.rmtree(folder)

    def remove_parts(self, stream_id: str, older_than: float) -> None:
        """Delete what crashes left half written before a time."""
        for name, path, stat in self._files(stream_id):
            if name.endswith(PART) and stat.st_ctime < older_than:
                path.unlink(missing_ok=True)

    def _is_link(self, stream_id: str) -> bool:
        return self.of_stream(stream_id).is_symlink()

    def _files(self, stream_id: str) -> Iterator[tuple[str, Path, os.stat_result]]:
        folder = self.of_stream(stream_id)
        if self._is_link(stream_id):
            return
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.is_file(follow_symlinks=False):
                        yield entry.name, Path(entry.path), entry.stat(follow_symlinks=False)


def length_of(clip: KeptClip) -> ClipLength | None:
    """How much a clip shows; None where it can't be read. It is read once."""
    return _length(clip.path, clip.size, clip.written_at)


@lru_cache(maxsize=_REMEMBERED)
def _length(path: Path, size: int, written_at: float) -> ClipLength | None:
    """The later arguments tell one file of a name from the next."""
    return clips.length_of(path)


def _checked(name: str, ident: str) -> str:
    if not _SAFE.fullmatch(ident):
        raise ValueError(f"{name} must be 1 to 32 letters, digits, _ and -, got {ident!r}")
    return ident


def _link_or_copy(source: Path, place: Path) -> None:
    try:
        os.link(source, place)
    except FileNotFoundError:
        raise
    except OSError:  # another disk, or one that has no links
        shutil.copy2(source, place)
        with place.open("rb") as copied:
            os.fsync(copied.fileno())
