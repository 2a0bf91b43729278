"""Putting a bundle from elsewhere among the user's own: all of it, checked, or nothing."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from model import bundle as bundles
from model.catalog import SHIPPED, BundleError, read_document
from service.errors import BadInput
from service.release import archive
from service.release.download import Fetcher, shown

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
CHECKSUM = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be installed."""

    source: str
    """A bundle's folder, an archive of one, or an https URL of such an archive."""
    name: str | None = None
    """What it is called here; None is the name that it was published under."""
    sha256: str | None = None
    """The archive's; a URL needs it."""
    fetcher: Fetcher = field(default_factory=Fetcher)

    @property
    def is_url(self) -> bool:
        """Whether it is to be downloaded."""
        return "://" in self.source


def install(order: Order, models: Path) -> Path:
    """Check a bundle and put it into a models folder; its new path.

    Raises: BadInput: it can't be read, isn't a bundle, isn't what the checksum says, or its name
        is taken. DownloadFailed: it didn't come.
    """
    checksum = _checked_sum(order)
    models.mkdir(parents=True, exist_ok=True)
    # Two levels down, no list of models shows it before it is whole.
    with tempfile.TemporaryDirectory(dir=models, prefix=".adding-") as place:
        draft = Path(place) / "bundle"
        draft.mkdir()
        with _as_input(order, draft):
            _bring(order, checksum, Path(place) / "archive", draft)
            name = order.name or read_document(draft).name
            bundles.load(draft)
        target = models / _free_name(name, models)
        draft.rename(target)
    return target


@contextmanager
def _as_input(order: Order, draft: Path) -> Iterator[None]:
    """What is wrong with the bundle is wrong with the source that the user named."""
    try:
        yield
    except BadInput:
        raise
    except BundleError as error:
        text = str(error).removeprefix(f"{draft}").lstrip(": ")
        raise BadInput("source", _label(order), text) from None
    except ValueError as error:
        raise BadInput("source", _label(order), str(error)) from None


def _label(order: Order) -> str:
    return shown(order.source) if order.is_url else order.source


def _checked_sum(order: Order) -> str | None:
    if order.sha256 is None:
        if order.is_url:
            raise BadInput("--sha256", None, "is needed for a URL: it stands beside the download")
        return None
    checksum = order.sha256.strip().lower()
    if not CHECKSUM.fullmatch(checksum):
        raise BadInput("--sha256", order.sha256, "must be 64 hexadecimal digits")
    return checksum


def _bring(order: Order, checksum: str | None, download: Path, draft: Path) -> None:
    """The bundle's files into the draft folder."""
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
    found = archive.sha256(path)
    if checksum is not None and found != checksum:
        raise BadInput("--sha256", checksum, f"the archive is another: its SHA-256 is {found}")
    archive.unpack(path, draft)


def _free_name(name: str, models: Path) -> str:
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
