"""Archives of bundles: what is packed comes back, and nothing else is ever written."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from model.bundles.catalog import DOCUMENT, WEIGHTS, BundleError
from service.errors import BadInput
from service.tools.release.archive import MAX_BYTES, compute_sha256, copy, pack, unpack
from tests.support.bundles import save_small_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A small bundle's folder."""
    return save_small_bundle(tmp_path / "made")


def _archive(path: Path, *entries: tuple[str, bytes | tarfile.TarInfo]) -> Path:
    """A tar of files with these contents, or of entries as they are."""
    with tarfile.open(path, "w") as tar:
        for name, content in entries:
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
                continue
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def _entry(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = kind
    entry.linkname = target
    return entry


def _everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_packed_bundle_comes_back_byte_for_byte(bundle: Path, tmp_path: Path) -> None:
    checksum = pack(bundle, tmp_path / "out" / "small.tar")
    assert checksum == compute_sha256(tmp_path / "out" / "small.tar")
    into = tmp_path / "into"
    into.mkdir()
    unpack(tmp_path / "out" / "small.tar", into)
    assert _everything(into) == [DOCUMENT, WEIGHTS]
    for file in MAX_BYTES:
        assert (into / file).read_bytes() == (bundle / file).read_bytes()


def test_the_same_files_give_the_same_archive(bundle: Path, tmp_path: Path) -> None:
    first = pack(bundle, tmp_path / "a" / "small.tar")
    for file in MAX_BYTES:
        (bundle / file).touch()
    (bundle / "notes.txt").write_text("not for others")
    assert pack(bundle, tmp_path / "b" / "small.tar") == first


def test_packing_takes_bundles_only_and_replaces_nothing(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        pack(tmp_path, tmp_path / "x.tar")
    (tmp_path / "x.tar").write_text("mine")
    with pytest.raises(BadInput, match=r"x\.tar"):
        pack(bundle, tmp_path / "x.tar")
    assert (tmp_path / "x.tar").read_text() == "mine"


@pytest.mark.parametrize("prefix", ["", "./", "x/", "./x/"])
def test_files_may_lie_in_a_folder_or_not(bundle: Path, tmp_path: Path, prefix: str) -> None:
    entries = [(prefix + file, (bundle / file).read_bytes()) for file in MAX_BYTES]
    archive = _archive(tmp_path / "a.tar", ("x", _entry("x", tarfile.DIRTYPE)), *entries)
    into = tmp_path / "into"
    into.mkdir()
    unpack(archive, into)
    assert _everything(into) == [DOCUMENT, WEIGHTS]


@pytest.mark.parametrize(
    "entry",
    [
        (f"../{WEIGHTS}", b"x"),
        (f"x/../{WEIGHTS}", b"x"),
        (f"/{WEIGHTS}", b"x"),
        (f"/tmp/{WEIGHTS}", b"x"),
        (f"a/b/{WEIGHTS}", b"x"),
        ("model.pkl", b"x"),
        (f"x/{DOCUMENT}", b"{}"),
        (WEIGHTS, _entry(WEIGHTS, tarfile.SYMTYPE, "/etc/passwd")),
        (WEIGHTS, _entry(WEIGHTS, tarfile.LNKTYPE, DOCUMENT)),
        (WEIGHTS, _entry(WEIGHTS, tarfile.FIFOTYPE)),
        (WEIGHTS, _entry(WEIGHTS, tarfile.CHRTYPE)),
    ],
    ids=lambda entry: entry[0] if isinstance(entry[1], bytes) else f"type{entry[1].type!r}",
)
def test_other_files_are_refused_and_never_written(
    tmp_path: Path, entry: tuple[str, bytes | tarfile.TarInfo]
) -> None:
    archive = _archive(tmp_path / "a.tar", (DOCUMENT, b"{}"), entry)
    into = tmp_path / "in" / "to"
    into.mkdir(parents=True)
    before = set(_everything(tmp_path))
    with pytest.raises(ValueError, match=r"no file of a bundle|no plain file"):
        unpack(archive, into)
    assert set(_everything(tmp_path)) - before <= {f"in/to/{DOCUMENT}"}


def test_too_large_or_too_many_entries_are_refused(tmp_path: Path) -> None:
    large = _archive(tmp_path / "a.tar", (DOCUMENT, b" " * (MAX_BYTES[DOCUMENT] + 1)))
    with pytest.raises(ValueError, match="larger than"):
        unpack(large, tmp_path)
    folders = [(f"{n}", _entry(f"{n}", tarfile.DIRTYPE)) for n in range(9)]
    with pytest.raises(ValueError, match="more than a bundle's two files"):
        unpack(_archive(tmp_path / "b.tar", *folders), tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"it lacks {WEIGHTS}"):
        unpack(_archive(tmp_path / "a.tar", (DOCUMENT, b"{}")), tmp_path)
    with pytest.raises(ValueError, match="lacks"):
        copy(tmp_path / "nothing", tmp_path)


def _compressed(content: bytes) -> bytes:
    return gzip.compress(content)


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _noise(content: bytes) -> bytes:
    return b"\x01\x02" * 900


@pytest.mark.parametrize("change", [_compressed, _cut, _noise, lambda _: b""])
def test_what_is_no_plain_tar_is_refused(
    bundle: Path, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    archive = tmp_path / "a.tar"
    pack(bundle, archive)
    archive.write_bytes(change(archive.read_bytes()))
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(ValueError, match="no uncompressed tar archive"):
        unpack(archive, into)
