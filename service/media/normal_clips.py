"""The folder of clips whose events are labelled normal, which the next training reads.

They are `DATA_DIR/normal/STREAM_ID/EVENT_ID.mp4`. `service.media.normal_keeper` decides what
belongs into it.
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
"""The folder's place below the data folder."""
SUFFIX = ".mp4"
PART = ".part"
MARK_EVERY_S = 3600.0
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


class NormalClipFolder:
    """Files below one folder. Links that lead out of it aren't followed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def stream_folder(self, stream_id: str) -> Path:
        """Return a stream's folder, which may not exist yet.

        Raises: ValueError: the id isn't one that normwatch gives.
        """
        return self.root / _check_ident("stream_id", stream_id)

    def clip_path(self, stream_id: str, event_id: str) -> Path:
        """Return a clip's path, which may not exist yet. Raises: ValueError: as `stream_folder`."""
        return self.stream_folder(stream_id) / f"{_check_ident('event_id', event_id)}{SUFFIX}"

    def stream_ids(self) -> list[str]:
        """Return the streams that have a folder."""
        with suppress(FileNotFoundError), os.scandir(self.root) as entries:
            return sorted(
                entry.name
                for entry in entries
                if _SAFE.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            )
        return []

    def clips(self, stream_id: str) -> list[KeptClip]:
        """Return a stream's clips, the oldest first; none where it has no folder.

        Raises: ValueError: as `stream_folder`.
        """
        found = [
            KeptClip(stream_id, name.removesuffix(SUFFIX), path, stat.st_size, stat.st_mtime)
            for name, path, stat in self._files(stream_id)
            if name.endswith(SUFFIX) and _SAFE.fullmatch(name.removesuffix(SUFFIX))
        ]
        return sorted(found, key=lambda clip: (clip.written_at, clip.event_id))

    def clip(self, stream_id: str, event_id: str) -> KeptClip | None:
        """Return one clip, if it is there. Raises: ValueError: as `stream_folder`."""
        path = self.clip_path(stream_id, event_id)
        if path.is_symlink() or not path.is_file() or self._is_link(stream_id):
            return None
        stat = path.stat()
        return KeptClip(stream_id, event_id, path, stat.st_size, stat.st_mtime)

    def make_folder(self, stream_id: str) -> None:
        self.stream_folder(stream_id).mkdir(parents=True, exist_ok=True)

    def mark_known(self, stream_id: str, now: float) -> None:
        """Note in the folder's time that its stream is known now."""
        if self.unknown_s(stream_id, now) > MARK_EVERY_S and not self._is_link(stream_id):
            os.utime(self.stream_folder(stream_id), (now, now))

    def unknown_s(self, stream_id: str, now: float) -> float:
        """Return the seconds since a folder's stream was known, or a file came or went."""
        return now - self.stream_folder(stream_id).lstat().st_mtime

    def put(self, stream_id: str, event_id: str, source: Path) -> None:
        """Keep a file: linked where the disk can, else copied; whole or not at all.

        Raises: OSError: it can't be, or the stream's folder is a link.
        """
        place = self.clip_path(stream_id, event_id)
        self.make_folder(stream_id)
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
        self.clip_path(clip.stream_id, clip.event_id).unlink(missing_ok=True)

    def remove_stream(self, stream_id: str) -> None:
        """Delete a stream's folder, with what is in it."""
        folder = self.stream_folder(stream_id)
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
        return self.stream_folder(stream_id).is_symlink()

    def _files(self, stream_id: str) -> Iterator[tuple[str, Path, os.stat_result]]:
        folder = self.stream_folder(stream_id)
        if self._is_link(stream_id):
            return
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.is_file(follow_symlinks=False):
                        yield entry.name, Path(entry.path), entry.stat(follow_symlinks=False)


def measure_kept_clip(clip: KeptClip) -> ClipLength | None:
    """Read a clip's times, once; None where it can't be read."""
    return _read_length(clip.path, clip.size, clip.written_at)


@lru_cache(maxsize=_REMEMBERED)
def _read_length(path: Path, size: int, written_at: float) -> ClipLength | None:
    """Read a clip's times; the other arguments tell apart files that replaced each other."""
    return clips.read_clip_length(path)


def _check_ident(name: str, ident: str) -> str:
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
