"""Footage as clips of frames: image folders, video files, and RTSP/HTTP URLs.

Frames are decoded and fitted once, into one array (a file on disk, mapped, so that memory stays
bounded), and a clip never runs across a cut.
"""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from numpy.typing import NDArray

from model.frames import Frame, FrameShape, Picture, fit, is_grey

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
URL = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
OPEN_TIMEOUT_S = 15.0
EARLY_S = 0.002
"""A frame may come so much before it is due: many containers round times to milliseconds."""
_HOST = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[\w.~-]+)(:\d{1,5})?")
_LIKELY_HOST = re.compile(r"\[|localhost\b|.*\.")
_SECRET_PARAMETER = re.compile(
    r"((?<![a-z])(?:user|usr|username|login|pass|passwd|password|pwd|token|access_token|key|api_?key"
    r"|auth|secret|sig|signature)=)[^&;/?#\s]*",
    re.IGNORECASE,
)


class FootageError(ValueError):
    """A source of footage that can't be read; names it, without credentials."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where one clip comes from."""

    name: str
    location: str | Path
    """A folder of images, a video file, or a URL."""

    @property
    def is_url(self) -> bool:
        """Whether it is read over a network."""
        return isinstance(self.location, str)


@dataclass(frozen=True, slots=True)
class Clip:
    """Consecutive frames of one camera: uint8, (T, height, width) or (T, height, width, 3)."""

    name: str
    frames: NDArray[np.uint8]

    def __len__(self) -> int:
        return int(self.frames.shape[0])


def natural_key(text: str) -> list[tuple[int, int | str]]:
    """Sort key under which frame 10 follows frame 9."""
    parts = re.split(r"(\d+)", text)
    return [(0, int(part)) if part.isdecimal() else (1, part.lower()) for part in parts if part]


def images(folder: Path) -> list[Path]:
    """The images of a folder, in their natural order; hidden files aren't images."""
    files = (
        entry
        for entry in folder.iterdir()
        if entry.suffix.lower() in IMAGE_SUFFIXES and not entry.name.startswith(".")
    )
    return sorted(files, key=lambda file: natural_key(file.name))


def split_userinfo(rest: str) -> tuple[str | None, str]:
    """Split what follows `://` into user name with password (None: there is none) and the rest.

    A raw `@`, `/`, `#` or `?` may stand in a password: the split is at the first `@` that a whole
    host with an optional port follows; one that has a dot, or is `localhost`, goes before others.
    """
    if _HOST.fullmatch(re.split(r"[/?]", rest, maxsplit=1)[0]):
        return None, rest
    splits = [(rest[: at.start()], rest[at.end() :]) for at in re.finditer("@", rest)]
    hosts = [re.split(r"[/?]", after, maxsplit=1)[0] for _, after in splits]
    valid = [
        (not _LIKELY_HOST.match(host), index)
        for index, host in enumerate(hosts)
        if _HOST.fullmatch(host)
    ]
    return splits[min(valid)[1]] if valid else (None, rest)


def hide_credentials(url: str) -> str:
    """The URL with whatever stands between `://` and the last `@` of its host replaced, and the
    values of parameters such as `password=`, which many cameras take in the query or the path."""
    scheme, found, rest = url.partition("://")
    userinfo, after = split_userinfo(rest)
    if userinfo is not None:
        rest = f"@{after}"
    host, slash, path = rest.partition("/")
    if "@" in rest and "@" not in host:  # a raw slash in the password
        host, slash, path = rest.rpartition("@")[0] + "@" + rest.rpartition("@")[2], "", ""
    if found and "@" in host:
        host = "***@" + host.rpartition("@")[2]
    shown = f"{scheme}{found}{host}{slash}{path}"
    return _SECRET_PARAMETER.sub(r"\1***", shown) if found else shown


def discover(locations: Sequence[str]) -> list[Source]:
    """Each location's clips: a URL, a video or a folder of images is one, a folder of those many.

    Raises: FootageError: nothing is there, or nothing of use.
    """
    sources: list[Source] = []
    for location in locations:
        if URL.match(location):
            sources.append(Source(hide_credentials(location), location))
            continue
        path = Path(location)
        if path.is_file():
            sources.append(Source(path.name, path))
        elif path.is_dir():
            sources.extend(_inside(path))
        else:
            raise FootageError(f"no such file or folder: {location}")
    return sources


def _inside(folder: Path) -> list[Source]:
    if images(folder):
        return [Source(folder.name, folder)]
    entries = sorted(folder.iterdir(), key=lambda entry: natural_key(entry.name))
    found = [Source(entry.name, entry) for entry in entries if entry.is_dir() and images(entry)]
    found += [Source(entry.name, entry) for entry in entries if _is_video(entry)]
    if not found and (folder / "frames").is_dir():
        return _inside(folder / "frames")
    if not found:
        raise FootageError(f"no images, folders of images or videos in {folder}")
    return found


def _is_video(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in {
        ".mp4",
        ".avi",
        ".mkv",
        ".mov",
        ".webm",
        ".ts",
    }


def pictures(source: Source) -> Iterator[tuple[float | None, Picture]]:
    """Decoded pictures in order, each with its time in seconds where the source has one.

    Raises: FootageError: it can't be opened or read.
    """
    if isinstance(source.location, Path) and source.location.is_dir():
        for file in images(source.location):
            picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
            if picture is None:
                raise FootageError(f"not an image: {file}")
            yield None, np.asarray(picture, np.uint8)
        return
    with _opened(source) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            yield frame.time, np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)


@contextmanager
def _opened(source: Source) -> Iterator[InputContainer]:
    """A container that holds video; what FFmpeg can't do becomes a FootageError."""
    options = {"rtsp_transport": "tcp"} if source.is_url else {}
    try:
        with av.open(str(source.location), options=options, timeout=OPEN_TIMEOUT_S) as container:
            if not container.streams.video:
                raise FootageError(f"{source.name}: holds no video")
            yield container
    except FFmpegError as error:
        raise FootageError(
            f"{source.name}: {error.strerror or 'cannot be read as video'}"
        ) from None


def frame_count(source: Source) -> int:
    """Frames of a folder or video; a video is decoded, as many don't say, or say it wrong.

    Raises: FootageError: it can't be read.
    """
    if isinstance(source.location, Path) and source.location.is_dir():
        return len(images(source.location))
    return sum(1 for _ in pictures(source))


def frame_rate(source: Source) -> float | None:
    """Frames a second that a video file or URL declares; None for folders, or if it says nothing.

    Raises: FootageError: it can't be opened.
    """
    if isinstance(source.location, Path) and source.location.is_dir():
        return None
    with _opened(source) as container:
        rate = container.streams.video[0].average_rate
    return float(rate) if rate else None


def has_colour(source: Source, looks: int = 5) -> bool:
    """Whether any of the first pictures holds colour, which an RGB network could make use of."""
    for count, (_, picture) in enumerate(pictures(source), start=1):
        if not is_grey(picture):
            return True
        if count >= looks:
            break
    return False


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which frames of a source are taken."""

    fps: float | None = None
    """At most this many a second, where the source has times; None takes all."""
    limit: int | None = None
    """At most this many frames of each source."""

    def __post_init__(self) -> None:
        if self.fps is not None and not 0.0 < self.fps < math.inf:
            raise ValueError(f"fps must be a number above 0, got {self.fps!r}")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit must be at least 1, got {self.limit!r}")


def fitted(source: Source, shape: FrameShape, sampling: Sampling | None = None) -> Iterator[Frame]:
    """The source's frames as a network of this shape takes them."""
    sampling = sampling or Sampling()
    taken = 0
    due: float | None = None
    for time_s, picture in pictures(source):
        if sampling.limit is not None and taken >= sampling.limit:
            return
        if sampling.fps is not None and time_s is not None:
            period_s = 1.0 / sampling.fps
            due = time_s if due is None else due
            if time_s < due - min(EARLY_S, 0.1 * period_s):
                continue
            # The next one is due a period later, or after a gap a period from now.
            due = max(due, time_s - period_s) + period_s
        taken += 1
        yield fit(picture, shape)


class FrameStore:
    """Clips of fitted frames, held in one file, mapped into memory; see `frame_store`."""

    def __init__(self, shape: FrameShape, file: IO[bytes]) -> None:
        self.shape = shape
        self._file = file
        self._lengths: list[tuple[str, int]] = []

    def add(self, source: Source, sampling: Sampling | None = None) -> int:
        """Read a source to its end (or limit) as one clip; returns its frames.

        Raises: FootageError: it can't be read.
        """
        count = 0
        for frame in fitted(source, self.shape, sampling):
            self._file.write(frame.tobytes())
            count += 1
        self._lengths.append((source.name, count))
        return count

    def clips(self) -> list[Clip]:
        """All clips, in the order they were added; empty ones are left out."""
        self._file.flush()
        total = sum(length for _, length in self._lengths)
        if not total:
            return []
        frames: NDArray[np.uint8] = np.memmap(
            self._file, dtype=np.uint8, mode="r", shape=(total, *self.shape.array_shape)
        )
        clips: list[Clip] = []
        start = 0
        for name, length in self._lengths:
            if length:
                clips.append(Clip(name, frames[start : start + length]))
            start += length
        return clips


@contextmanager
def frame_store(shape: FrameShape, folder: Path | None = None) -> Iterator[FrameStore]:
    """A store in an unnamed temporary file. Its clips outlive it: their map keeps the file."""
    with tempfile.TemporaryFile(dir=folder) as file:
        yield FrameStore(shape, file)
