"""Bundles from elsewhere become models of one's own, whole and checked, or leave no trace."""

from __future__ import annotations

import hashlib
import shutil
import ssl
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from model.bundles.bundle import load
from model.bundles.catalog import DOCUMENT, WEIGHTS, list_bundles
from service.errors import BadInput
from service.tools.release.archive import pack
from service.tools.release.download import DownloadFailed, Fetcher
from service.tools.release.installation import InstallOrder, install
from tests.support.bundles import save_small_bundle
from tests.support.commands import outcome


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A small bundle's folder."""
    return save_small_bundle(tmp_path / "made")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """The models folder, not there yet."""
    return tmp_path / "home" / "models"


def _left(models: Path) -> list[str]:
    return [path.name for path in models.iterdir()] if models.exists() else []


def test_a_folder_or_an_archive_becomes_a_model(bundle: Path, models: Path, tmp_path: Path) -> None:
    checksum = pack(bundle, tmp_path / "x.tar")
    install(InstallOrder(str(bundle)), models)
    install(InstallOrder(str(tmp_path / "x.tar"), "hall", checksum.upper()), models)
    names = {info.name for info in list_bundles([models]) if not info.shipped}
    assert names == {"small", "hall"}
    assert load(models / "hall").items.equal(load(bundle).items)
    assert sorted(_left(models)) == ["hall", "small"]
    assert sorted(_left(models / "hall")) == [DOCUMENT, WEIGHTS]


def test_a_url_becomes_a_model(
    bundle: Path, models: Path, tmp_path: Path, https: HTTPServer, trust: ssl.SSLContext
) -> None:
    checksum = pack(bundle, tmp_path / "x.tar")
    https.expect_request("/x.tar").respond_with_data((tmp_path / "x.tar").read_bytes())
    fetcher = Fetcher(True, tls=trust)
    url = https.url_for("/x.tar")
    with pytest.raises(BadInput, match="--sha256"):
        install(InstallOrder(url, fetcher=fetcher), models)
    assert https.log == []
    with pytest.raises(BadInput, match=f"its SHA-256 is {checksum}"):
        install(InstallOrder(url, sha256="0" * 64, fetcher=fetcher), models)
    with pytest.raises(DownloadFailed):
        install(InstallOrder(url + "x", sha256=checksum, fetcher=fetcher), models)
    assert _left(models) == []
    assert install(InstallOrder(url, sha256=checksum, fetcher=fetcher), models) == models / "small"
    assert load(models / "small").name == "small"


def test_a_damaged_bundle_leaves_nothing(bundle: Path, models: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(bundle, damaged)
    weights = bytearray((damaged / WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (damaged / WEIGHTS).write_bytes(weights)
    pack(damaged, tmp_path / "damaged.tar")
    for source in (damaged, tmp_path / "damaged.tar"):
        with pytest.raises(BadInput, match=f"{WEIGHTS} is damaged") as caught:
            install(InstallOrder(str(source)), models)
        assert str(source) in str(caught.value)
        assert ".adding-" not in str(caught.value)
    (damaged / DOCUMENT).write_text("{}")
    with pytest.raises(BadInput, match="damaged or foreign"):
        install(InstallOrder(str(damaged)), models)
    assert _left(models) == []


@pytest.mark.parametrize(
    "name", ["", "..", ".hidden", "a/b", "../up", "/abs", "a b", "ü", "-x", "x" * 65, "a\n"]
)
def test_names_that_are_no_plain_names_are_refused(bundle: Path, models: Path, name: str) -> None:
    document = bundle / DOCUMENT
    document.write_text(document.read_text().replace('"small"', '"../../up"'))
    for order in (InstallOrder(str(bundle), name), InstallOrder(str(bundle))):
        if order.name == "":
            continue
        with pytest.raises(BadInput, match="--name"):
            install(order, models)
    assert _left(models) == []


def test_a_taken_name_is_refused(bundle: Path, models: Path) -> None:
    install(InstallOrder(str(bundle)), models)
    before = (models / "small" / DOCUMENT).stat()
    with pytest.raises(BadInput, match="small is there already"):
        install(InstallOrder(str(bundle)), models)
    with pytest.raises(BadInput, match="comes with normwatch"):
        install(InstallOrder(str(bundle), "ped2-fast"), models)
    assert (models / "small" / DOCUMENT).stat() == before
    assert _left(models) == ["small"]


@pytest.mark.parametrize(
    ("sha256", "words"), [("0" * 63, "64 hexadecimal"), ("z" * 64, "64 hex"), ("1" * 64, "folder")]
)
def test_checksums_that_can_not_be_are_refused(
    bundle: Path, models: Path, sha256: str, words: str
) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        install(InstallOrder(str(bundle), sha256=sha256), models)
    assert "--sha256" in str(caught.value)


def test_what_isnt_there_is_named(models: Path) -> None:
    with pytest.raises(BadInput, match=r"no such file or folder.*nowhere\.tar"):
        install(InstallOrder("nowhere.tar"), models)


def test_the_commands_pack_publish_and_add(
    bundle: Path,
    tmp_path: Path,
    https: HTTPServer,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NORMWATCH_DATA_DIR", str(tmp_path / "home"))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    archive = tmp_path / "wide.tar"
    code, said = outcome(capsys, "models", "pack", str(bundle), "--out", str(archive))
    assert code == 0
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert f"sha256 {checksum}" in said
    https.expect_request("/wide.tar").respond_with_data(archive.read_bytes())
    add = ("models", "add", https.url_for("/wide.tar"), "--name", "wide", "--sha256", checksum)
    code, said = outcome(capsys, *add)
    assert (code, "private" in said) == (2, True)
    code, said = outcome(capsys, *add, "--allow-private")
    assert code == 0, said
    assert str(tmp_path / "home" / "models" / "wide") in said
    code, said = outcome(capsys, "models")
    assert code == 0
    assert "wide" in said
    code, said = outcome(capsys, *add, "--allow-private")
    assert code == 2
    assert len(said.strip().splitlines()) == 1
