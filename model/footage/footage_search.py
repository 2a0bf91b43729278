"""Finds the footage in what a user gives: URLs, videos, and folders with everything in them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from model.footage.footage_error import FootageError
from model.footage.locations import Location, LocationKind
from model.footage.video_source import open_video

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".flv", ".mpg"}
    | {".mpeg", ".vob", ".wmv", ".asf", ".3gp", ".3g2", ".ogv", ".mxf", ".dav", ".h264", ".h265"}
)
"""Files with these names count as videos; other files are opened to find out."""

DATA_SET_FRAMES = "frames"
"""Data sets keep their clips in a folder of this name, next to labels and masks."""


@dataclass(frozen=True, slots=True)
class Source:
    """The origin of one clip."""

    name: str
    """A name without credentials: a file's path below the given folder, or the URL."""
    location: str | Path | BinaryIO
    """A URL or device (text), a video or a folder of images (Path), or an open video file."""

    @property
    def is_images(self) -> bool:
        """Returns whether it is a folder of images, or one image."""
        return isinstance(self.location, Path) and (
            self.location.suffix.lower() in IMAGE_SUFFIXES or self.location.is_dir()
        )

    @property
    def is_live(self) -> bool:
        """Returns whether it may be a camera: a URL or a device."""
        return isinstance(self.location, str) and Location.parse(self.location).is_live


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that isn't footage."""

    path: Path
    reason: str


@dataclass(slots=True)
class FoundFootage:
    """The footage found, in natural order."""

    sources: list[Source] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def natural_key(text: str) -> list[tuple[int, int | str]]:
    """Make a sort key by which frame 10 follows frame 9."""
    parts = re.split(r"(\d+)", text)
    return [(0, int(part)) if part.isdecimal() else (1, part.lower()) for part in parts if part]


def list_images(place: Path) -> list[Path]:
    """List a folder's images in natural order, without hidden ones; a file is listed by itself."""
    if place.is_file():
        return [place]
    files = (
        entry
        for entry in place.iterdir()
        if entry.suffix.lower() in IMAGE_SUFFIXES
        and not entry.name.startswith(".")
        and not entry.is_dir()
    )
    return sorted(files, key=lambda file: natural_key(file.name))


def find_footage(locations: Sequence[str], *, recursive: bool = True) -> FoundFootage:
    """Find each location's clips.

    A URL, a device or a file is one clip. In a folder and each of its subfolders the images are one
    clip, and each video is one.

    A folder without footage of its own, but with a subfolder `frames`, is a data set: only the
    subfolder is searched. Hidden files and linked folders are left out.

    Args:
        recursive: False searches only the folder and its direct subfolders' images, which is how
            labelled data sets are laid out.
    Raises: FootageError: the location doesn't exist, or holds no footage.
    """
    found = FoundFootage()
    for text in locations:
        location = Location.parse(text)
        if location.is_live:
            found.sources.append(Source(location.redacted, text))
        elif location.kind is LocationKind.FOLDER:
            _search(Path(text), found, recursive)
        elif Path(text).exists():
            found.sources.append(Source(_to_text(Path(text).name), Path(text)))
        else:
            raise FootageError("there is no such file or folder", name=text)
    return found


def _search(folder: Path, found: FoundFootage, recursive: bool) -> None:
    try:
        root = _find_root(folder)
        entries = list(_list_entries(root, root, found, recursive=recursive))
    except OSError as error:
        raise FootageError(f"it can't be read: {error.strerror}", name=_to_text(folder)) from None
    if not entries:
        reason = "it holds no images and no videos"
        if found.left_out:
            first = found.left_out[0]
            reason += f" ({len(found.left_out)} left out, as {first.path.name}: {first.reason})"
        raise FootageError(reason, name=_to_text(folder))
    found.sources += [source for _, source in sorted(entries, key=lambda entry: entry[0])]


_Key = list[list[tuple[int, int | str]]]


def _find_root(folder: Path) -> Path:
    frames = folder / DATA_SET_FRAMES
    own = any(entry.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES for entry in folder.iterdir())
    return frames if frames.is_dir() and not own else folder


def _list_entries(
    folder: Path, root: Path, found: FoundFootage, *, recursive: bool
) -> Iterator[tuple[_Key, Source]]:
    """List the clips of a folder and those below it, each with its sort key."""
    pictures = list_images(folder)
    if pictures:
        name = folder.name if folder == root else folder.relative_to(root)
        yield _make_sort_key(pictures[0], root), Source(_to_text(name or folder), folder)
    for entry in sorted(folder.iterdir(), key=lambda entry: natural_key(entry.name)):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            try:
                if entry.is_symlink():
                    found.left_out.append(LeftOut(entry, "is a link to a folder"))
                elif recursive:
                    yield from _list_entries(entry, root, found, recursive=True)
                elif list_images(entry):
                    yield _make_sort_key(entry, root), Source(_to_text(entry.name), entry)
            except OSError as error:
                found.left_out.append(LeftOut(entry, f"can't be read: {error.strerror}"))
        elif entry.suffix.lower() in IMAGE_SUFFIXES:
            continue
        elif reason := _explain_no_video(entry):
            found.left_out.append(LeftOut(entry, reason))
        else:
            yield _make_sort_key(entry, root), Source(_to_text(entry.relative_to(root)), entry)


def _to_text(name: str | Path) -> str:
    """Convert a name to text; bytes that aren't UTF-8 are replaced."""
    return os.fsencode(name).decode("utf-8", "replace")


def _make_sort_key(path: Path, root: Path) -> _Key:
    return [natural_key(part) for part in path.relative_to(root).parts]


def _explain_no_video(path: Path) -> str:
    """Say why a file isn't a video; empty if it is one, or is named like one."""
    if not path.is_file():
        return "is no file"
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return ""
    if not os.access(path, os.R_OK):
        return "can't be read"
    try:
        open_video(Location.parse(str(path))).close()
    except FootageError as error:
        return error.reason
    return ""
