"""Checks a stream's source: a camera's URL, uploads, or a path in a folder of the operator's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from model.footage.locations import SCHEMES, Location, LocationKind
from model.footage.source_addresses import Network, find_address_problem
from service.capture.probe import ProbeVerdict, probe
from service.characters import has_controls
from service.errors import BadInput
from service.messages import UPLOAD

PROBE_TIMEOUT_S = 5.0


def check_source(source: str, media_dirs: Sequence[Path], networks: Sequence[Network] = ()) -> str:
    """Return the source as it is stored, paths resolved.

    Args: networks: those that a host must be in; empty allows all but link-local ones.
    Raises: BadInput: it can't be used.
    """
    if source == UPLOAD:
        return source
    if has_controls(source):
        raise BadInput("source", source, "must not hold control characters")
    location = Location.parse(source)
    no_host = BadInput(
        "source", source, "must name a host, and a port up to 65535, as in rtsp://camera:554/path"
    )
    if location.kind is not LocationKind.NETWORK:
        if source.partition(":")[0].lower() in SCHEMES:
            raise no_host
        return str(_check_path(source, media_dirs))
    if location.scheme not in SCHEMES:
        raise BadInput("source", source, f"must have one of the schemes {', '.join(SCHEMES)}")
    if "***" in source:
        raise BadInput("source", source, "holds *** where a secret belongs: give the whole URL")
    if location.host is None:
        raise no_host
    problem = find_address_problem(location, networks)
    if problem is not None:
        raise BadInput("source", source, problem)
    return source


def _check_path(source: str, media_dirs: Sequence[Path]) -> Path:
    path = Path(source)
    if not path.is_absolute():
        raise BadInput("source", source, "must be a URL, an absolute path, or upload")
    try:
        resolved = path.resolve()
        folders = [folder.resolve() for folder in media_dirs]
    except (OSError, RuntimeError):
        raise BadInput("source", source, "is a path that can't be followed") from None
    # The folder is checked first: an answer must not reveal which paths exist outside the folders.
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


def check_content(source: str, networks: Sequence[Network] = ()) -> None:
    """Check that the source is video. A camera that doesn't answer may be off, and is accepted.

    Raises: BadInput: it answers, and is no video; or its host's name leads where no camera may be.
    """
    if source == UPLOAD:
        return
    problem = find_address_problem(Location.parse(source), networks, looks_up=True)
    if problem is not None:
        raise BadInput("source", source, problem)
    found = probe(source, PROBE_TIMEOUT_S, networks)
    if found.verdict is ProbeVerdict.NOT_VIDEO:
        raise BadInput("source", source, f"is no video: {found.reason}")
