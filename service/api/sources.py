"""What a stream may read: a camera's URL, uploads, or a path in a folder of the operator's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from model.footage import FootageError, discover, split_userinfo
from service.capture.probe import ProbeVerdict, probe
from service.errors import BadInput

UPLOAD = "upload"
SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https")
PROBE_TIMEOUT_S = 5.0
_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_HOST = re.compile(r"^(\[[0-9a-f:.%]+\]|[^\s:@/\[\]]+)(:(\d{1,5}))?$", re.IGNORECASE)


def checked_source(source: str, media_dirs: Sequence[Path]) -> str:
    """The source as it is stored: a path is resolved. Raises: BadInput: it can't be used."""
    if source == UPLOAD:
        return source
    if not source.isprintable():
        raise BadInput("source", source, "must not hold control characters")
    scheme = _SCHEME.match(source)
    if scheme is None:
        return str(_checked_path(source, media_dirs))
    if scheme.group(1).lower() not in SCHEMES:
        raise BadInput("source", source, f"must have one of the schemes {', '.join(SCHEMES)}")
    if "://***@" in source:
        raise BadInput("source", source, "holds *** where its user name and password belong")
    _, found, rest = source.partition("://")
    host = _HOST.match(re.split(r"[/?#]", split_userinfo(rest)[1], maxsplit=1)[0])
    if not found or host is None or int(host.group(3) or 0) > 65535:
        raise BadInput("source", source, "must name a host, as in rtsp://camera:554/path")
    return source


def _checked_path(source: str, media_dirs: Sequence[Path]) -> Path:
    path = Path(source)
    if not path.is_absolute():
        raise BadInput("source", source, "must be a URL, an absolute path, or upload")
    try:
        resolved = path.resolve()
        folders = [folder.resolve() for folder in media_dirs]
    except (OSError, RuntimeError):
        raise BadInput("source", source, "is a path that can't be followed") from None
    # Where it is comes before whether it is: what lies outside the folders is nobody's business.
    if not any(resolved.is_relative_to(folder) for folder in folders):
        raise BadInput(
            "source", source, "is in none of the folders that NORMWATCH_MEDIA_DIRS names"
        )
    try:
        if not resolved.exists():
            raise BadInput("source", source, "does not exist")
    except OSError as error:
        raise BadInput("source", source, f"can't be read: {error.strerror}") from None
    return resolved


def check_content(source: str) -> None:
    """Look whether it is video. A camera that doesn't answer may be off, and is accepted.

    Raises: BadInput: it answers, and is no video.
    """
    if source == UPLOAD:
        return
    if _SCHEME.match(source) is None and Path(source).is_dir():
        _check_folder(source)
        return
    found = probe(source, PROBE_TIMEOUT_S)
    if found.verdict is ProbeVerdict.NOT_VIDEO:
        raise BadInput("source", source, f"is no video: {found.reason}")


def _check_folder(source: str) -> None:
    try:
        clips = discover([source])
    except (FootageError, OSError):
        clips = []
    if not any(clip.location == Path(source) for clip in clips):
        raise BadInput("source", source, "is a folder without pictures")
