"""Packs a bundle as one file to publish: a plain tar of its two files. Weights hardly compress, and
an uncompressed archive can't grow when it is unpacked.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import IO

from model.bundles.catalog import DOCUMENT, WEIGHTS, read_document
from service.errors import BadInput

MAX_BYTES = {DOCUMENT: 1 << 20, WEIGHTS: 1 << 30}
"""Files of a bundle, and how large each may be."""

MAX_ARCHIVE_BYTES = sum(MAX_BYTES.values()) + (1 << 20)
MAX_ENTRIES = 4
"""Two files and their folder, with one to spare."""


def pack(bundle: Path, out: Path) -> str:
    """Write a bundle's folder as an archive; the same files give the same bytes.

    Returns: the archive's SHA-256.
    Raises: BundleError: it isn't a bundle. BadInput: the archive exists, or a file is too large.
    """
    read_document(bundle)
    if out.exists():
        raise BadInput("--out", str(out), "is there already: delete it, or name another")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".packing-") as folder:
        draft = Path(folder) / out.name
        with tarfile.open(draft, "w", format=tarfile.USTAR_FORMAT) as tar:
            for file in MAX_BYTES:
                _add(tar, bundle / file, f"{out.stem}/{file}")
        checksum = compute_sha256(draft)
        draft.replace(out)
    return checksum


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = path.stat().st_size
    entry.mode = 0o644
    if entry.size > MAX_BYTES[path.name]:
        raise BadInput("bundle", str(path), f"must be at most {MAX_BYTES[path.name]} bytes")
    with path.open("rb") as content:
        tar.addfile(entry, content)


def compute_sha256(path: Path) -> str:
    """Compute a file's SHA-256, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(archive: Path, folder: Path) -> None:
    """Write an archive's two files into a folder; nothing else in it is ever written.

    Raises: ValueError: it is no such archive, lacks a file, or holds another or too large a one.
    """
    found: set[str] = set()
    try:
        with tarfile.open(archive, "r:") as tar:
            for count, entry in enumerate(tar, start=1):
                if count > MAX_ENTRIES:
                    raise ValueError("it holds more than a bundle's two files")
                if entry.isdir():
                    continue
                file = _identify_file(entry, found)
                found.add(file)
                content = tar.extractfile(entry)
                if content is None:
                    raise ValueError(f"{file} can't be read")
                _write(content, folder / file)
    except (tarfile.TarError, EOFError, OverflowError) as error:
        raise ValueError(f"it is no uncompressed tar archive ({error})") from None
    missing = MAX_BYTES.keys() - found
    if missing:
        raise ValueError(f"it lacks {', '.join(sorted(missing))}")


def _identify_file(entry: tarfile.TarInfo, found: set[str]) -> str:
    """Return which of a bundle's files an entry is. Raises: ValueError: it is none of them."""
    path = PurePosixPath(entry.name)
    known = path.name in MAX_BYTES and path.name not in found
    if not known or len(path.parts) > 2 or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"it holds {entry.name!r}, which is no file of a bundle")
    if not entry.isreg() or entry.issparse():
        raise ValueError(f"{entry.name!r} in it is no plain file")
    if not 0 <= entry.size <= MAX_BYTES[path.name]:
        raise ValueError(f"{entry.name!r} in it is larger than {MAX_BYTES[path.name]} bytes")
    return path.name


def copy(bundle: Path, folder: Path) -> None:
    """Write a bundle's two files into another folder.

    Raises: ValueError: one isn't there, is no plain file or too large.
    """
    for file, most in MAX_BYTES.items():
        source = bundle / file
        if not source.is_file():
            raise ValueError(f"it lacks {file}")
        if source.stat().st_size > most:
            raise ValueError(f"{file} in it is larger than {most} bytes")
        with source.open("rb") as content:
            _write(content, folder / file)


def _write(content: IO[bytes], path: Path) -> None:
    with path.open("xb") as file:
        shutil.copyfileobj(content, file)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o644)
