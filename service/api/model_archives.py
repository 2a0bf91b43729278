"""Models as archives: an uncompressed tar of a bundle's files, its check and its report.

A bundle that comes in is checked in a folder of its own, then moved to its place as a whole. The
front end doesn't load its weights: it compares their checksum.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Self

from model.bundles.catalog import DOCUMENT, WEIGHTS, BundleError, read_document
from service.errors import BadInput
from service.model_folders import CHECK, PICTURE, REPORT, list_pictures, read_check

CHUNK = 1 << 20
MAX_SMALL_BYTES = 8 << 20
"""How large each file but the weights may be."""
MAX_ENTRIES = 200
_FILES = frozenset({DOCUMENT, WEIGHTS, CHECK})
FIELD = "body"


class _PlainEntry(tarfile.TarInfo):
    """An archive's entry, refused at its header unless it is a plain file or a folder: tarfile
    would read the others (links, long names, PAX headers) further, into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        entry = super().frombuf(buf, encoding, errors)
        if entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE):
            raise BadInput(
                FIELD,
                None,
                f"holds {entry.name!r}, which is no plain file; `normwatch models pack` and "
                "`tar --format=ustar` write archives that can be read",
            )
        return entry


def list_files(bundle: Path) -> list[str]:
    """List what an archive of the bundle holds, by paths below its folder."""
    files = [name for name in (DOCUMENT, WEIGHTS, CHECK) if (bundle / name).is_file()]
    return files + [f"{REPORT}/{name}" for name in list_pictures(bundle)]


def measure_archive(bundle: Path, files: list[str]) -> int:
    """Return the bytes of an archive with these files."""
    blocks = sum(1 + -(-(bundle / name).stat().st_size // tarfile.BLOCKSIZE) for name in files)
    return (blocks + 2) * tarfile.BLOCKSIZE


def write_archive(bundle: Path, files: list[str]) -> Iterator[bytes]:
    """Yield an archive with these files in parts, without holding it in memory."""
    for name in files:
        with (bundle / name).open("rb") as file:
            entry = tarfile.TarInfo(f"{bundle.name}/{name}")
            entry.size = os.fstat(file.fileno()).st_size
            entry.mode = 0o644
            yield entry.tobuf(tarfile.USTAR_FORMAT)
            while part := file.read(CHUNK):
                yield part
            yield bytes(-entry.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def unpack_bundle(archive: Path, folder: Path, max_bytes: int) -> None:
    """Write an archive's files into a folder, and check them; nothing else in it is ever written.

    Raises: BadInput: it is no such archive, or what it holds is no whole bundle.
    """
    try:
        with tarfile.open(archive, "r:", tarinfo=_PlainEntry) as tar:
            _unpack(tar, folder, max_bytes)
    except (tarfile.TarError, EOFError, OverflowError, RecursionError) as error:
        raise BadInput(FIELD, None, f"is no uncompressed tar archive ({error})") from None
    _check(folder)


def _unpack(tar: tarfile.TarFile, folder: Path, max_bytes: int) -> None:
    left = max_bytes
    for count, entry in enumerate(tar, start=1):
        if count > MAX_ENTRIES:
            raise BadInput(FIELD, None, f"holds more than {MAX_ENTRIES} files")
        if entry.isdir():
            continue
        path = _find_place(entry)
        left -= entry.size
        if left < 0 or (path != WEIGHTS and entry.size > MAX_SMALL_BYTES):
            raise BadInput(FIELD, None, f"holds {entry.name!r}, which is too large")
        target = folder / path
        if target.exists():
            raise BadInput(FIELD, None, f"holds {path} twice")
        content = tar.extractfile(entry)
        if content is None:
            raise BadInput(FIELD, None, f"holds {entry.name!r}, which can't be read")
        target.parent.mkdir(exist_ok=True)
        _write(content, target)


def _find_place(entry: tarfile.TarInfo) -> str:
    """Return an entry's path below the bundle's folder, which may itself be in the archive."""
    parts = PurePosixPath(entry.name).parts
    if parts and parts[0] not in _FILES and parts[0] != REPORT:
        parts = parts[1:]
    is_file = len(parts) == 1 and parts[0] in _FILES
    is_picture = len(parts) == 2 and parts[0] == REPORT and PICTURE.fullmatch(parts[1])
    if not (is_file or is_picture):
        raise BadInput(FIELD, None, f"holds {entry.name!r}, which is no file of a model")
    if not entry.isreg() or entry.size < 0:
        raise BadInput(FIELD, None, f"holds {entry.name!r}, which is no plain file")
    return "/".join(parts)


def _write(content: IO[bytes], path: Path) -> None:
    with path.open("xb") as file:
        shutil.copyfileobj(content, file, CHUNK)
        file.flush()
        os.fsync(file.fileno())


def _check(folder: Path) -> None:
    try:
        document = read_document(folder)
    except BundleError as error:
        text = str(error).removeprefix(str(folder)).lstrip(": ")
        raise BadInput(FIELD, None, f"is no model: {text}") from None
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise BadInput(FIELD, None, f"lacks {WEIGHTS}")
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != document.weights_sha256:
        raise BadInput(FIELD, None, f"is damaged: the checksum of {WEIGHTS} is another")
    if (folder / CHECK).exists() and read_check(folder) is None:
        raise BadInput(FIELD, None, f"holds a {CHECK} that can't be read")
