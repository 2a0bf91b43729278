"""Installs a bundle among the user's models: all of it, checked, or nothing."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from model.bundles import bundle as bundles
from model.bundles.catalog import NAME, SHIPPED, BundleError, read_document
from service.errors import BadInput
from service.tools.release import archive
from service.tools.release.download import Fetcher, redact_url_query

CHECKSUM = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class InstallOrder:
    """Says what to install."""

    source: str
    """A bundle's folder, an archive of one, or an https URL of such an archive."""
    name: str | None = None
    """Name to install it under; None keeps the bundle's own."""
    sha256: str | None = None
    """SHA-256 of the archive; a URL needs it."""
    fetcher: Fetcher = field(default_factory=Fetcher)

    @property
    def is_url(self) -> bool:
        """True where the source has to be downloaded."""
        return "://" in self.source


def install(order: InstallOrder, models: Path) -> Path:
    """Check a bundle and put it into a models folder; returns its new path.

    Raises: BadInput: it can't be read, isn't a bundle, has another checksum, or its name is taken.
        DownloadFailed: the download failed.
    """
    checksum = _parse_checksum(order)
    models.mkdir(parents=True, exist_ok=True)
    # Two levels down, so that no list of models includes it before it is complete.
    with tempfile.TemporaryDirectory(dir=models, prefix=".adding-") as place:
        draft = Path(place) / "bundle"
        draft.mkdir()
        with _report_as_input(order, draft):
            _fetch_files(order, checksum, Path(place) / "archive", draft)
            name = order.name or read_document(draft).name
            bundles.load(draft)
        target = models / _check_name(name, models)
        draft.rename(target)
    return target


@contextmanager
def _report_as_input(order: InstallOrder, draft: Path) -> Iterator[None]:
    """Report errors in the bundle as errors in the source that the user named."""
    try:
        yield
    except BadInput:
        raise
    except BundleError as error:
        text = str(error).removeprefix(f"{draft}").lstrip(": ")
        raise BadInput("source", _describe_source(order), text) from None
    except ValueError as error:
        raise BadInput("source", _describe_source(order), str(error)) from None


def _describe_source(order: InstallOrder) -> str:
    return redact_url_query(order.source) if order.is_url else order.source


def _parse_checksum(order: InstallOrder) -> str | None:
    if order.sha256 is None:
        if order.is_url:
            raise BadInput(
                "--sha256", None, "is needed for a URL: it is published next to the download"
            )
        return None
    checksum = order.sha256.strip().lower()
    if not CHECKSUM.fullmatch(checksum):
        raise BadInput("--sha256", order.sha256, "must be 64 hexadecimal digits")
    return checksum


def _fetch_files(order: InstallOrder, checksum: str | None, download: Path, draft: Path) -> None:
    """Fetch the bundle's files into the draft folder."""
    path = Path(order.source)
    if order.is_url:
        path = download
        with path.open("wb") as file:
            order.fetcher.fetch(order.source, file)
    elif path.is_dir():
        if checksum is not None:
            raise BadInput("--sha256", checksum, "is of an archive, and the source is a folder")
        archive.copy(path, draft)
        return
    elif not path.is_file():
        raise BadInput("source", order.source, "there is no such file or folder")
    found = archive.compute_sha256(path)
    if checksum is not None and found != checksum:
        raise BadInput("--sha256", checksum, f"the archive is another: its SHA-256 is {found}")
    archive.unpack(path, draft)


def _check_name(name: str, models: Path) -> str:
    if not NAME.fullmatch(name):
        raise BadInput(
            "--name",
            name,
            "must be 1 to 64 letters, digits, '.', '_' or '-', a letter or digit first",
        )
    if (SHIPPED / name).exists():
        raise BadInput("--name", name, "a model of that name comes with normwatch: give another")
    if (models / name).exists():
        raise BadInput("--name", name, f"{models / name} is there already: give another")
    return name
