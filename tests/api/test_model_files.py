"""Models as files: downloaded, added, and deleted by the API."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path

import httpx
import pytest

from service.settings import Settings
from tests.api.learner import make_check
from tests.support.bundles import save_small_bundle
from tests.support.clips import encoded
from tests.support.front_end import client


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """A models folder that a test may change, with a model that has a check and a report."""
    bundle = save_small_bundle(tmp_path / "models", "yard-1")
    (bundle / "check.json").write_text(make_check().model_dump_json())
    (bundle / "report").mkdir()
    (bundle / "report" / "a.jpg").write_bytes(encoded())
    (bundle / "secret.txt").write_text("not for others")
    return settings.model_copy(update={"models_dir": tmp_path / "models"})


def _read_archive(api: httpx.Client, name: str = "yard-1") -> bytes:
    answer = api.get(f"/models/{name}/archive")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-tar"
    assert int(answer.headers["content-length"]) == len(answer.content)
    return answer.content


def _pack(bundle: Path, **changed: bytes | tarfile.TarInfo | None) -> bytes:
    """Pack a bundle's two files; replace some, or leave them out, or add others."""
    files: dict[str, bytes | tarfile.TarInfo | None] = {
        each: (bundle / each).read_bytes() for each in ("bundle.json", "weights.safetensors")
    }
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in (files | changed).items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
            elif content is not None:
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def _pack_check(bundle: Path, check: object) -> bytes:
    return _pack(bundle, **{"check.json": json.dumps(check).encode()})


def test_a_model_goes_from_one_machine_to_another(api: httpx.Client, settings: Settings) -> None:
    archive = _read_archive(api)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert sorted(tar.getnames()) == [
            "yard-1/bundle.json",
            "yard-1/check.json",
            "yard-1/report/a.jpg",
            "yard-1/weights.safetensors",
        ]
    made = api.post("/models/copy", content=archive)
    assert made.status_code == 201, made.text
    assert (made.json()["name"], made.json()["check"]["scenes"]) == ("copy", 10)
    for file in ("bundle.json", "weights.safetensors", "check.json", "report/a.jpg"):
        one, other = (settings.user_models / name / file for name in ("yard-1", "copy"))
        assert one.read_bytes() == other.read_bytes()
    stream = api.post("/streams", json={"name": "x", "source": "upload", "model": "copy"})
    assert stream.json()["model"] == "copy"
    again = api.post("/models/copy", content=archive)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
    assert not list(settings.user_models.glob(".*")), "nothing is left over"
    shipped = _read_archive(api, "ped2-fast")
    assert api.post("/models/ped2-fast", content=shipped).status_code == 409


def test_an_archive_that_is_no_model_is_refused(api: httpx.Client, settings: Settings) -> None:
    models = settings.user_models
    bundle = models / "yard-1"
    weights = (bundle / "weights.safetensors").read_bytes()
    link = tarfile.TarInfo("check.json")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    check = json.loads((bundle / "check.json").read_bytes())
    for archive, reason in (
        (b"", "no uncompressed tar"),
        (b"x" * 2000, "no uncompressed tar"),
        (_pack(bundle, **{"bundle.json": None}), "is no model"),
        (_pack(bundle, **{"bundle.json": b"{}"}), "is no model"),
        (_pack(bundle, **{"weights.safetensors": None}), "lacks weights.safetensors"),
        (_pack(bundle, **{"weights.safetensors": weights + b"x"}), "checksum"),
        (_pack(bundle, **{"../../evil.json": b"x"}), "no file of a model"),
        (_pack(bundle, **{"/etc/bundle.json": b"x"}), "no file of a model"),
        (_pack(bundle, **{"report/../../a.jpg": b"x"}), "no file of a model"),
        (_pack(bundle, **{"report/a.svg": b"x"}), "no file of a model"),
        (_pack(bundle, **{"x/bundle.json": b"x"}), "twice"),
        (_pack(bundle, **{"check.json": link}), "no plain file"),
        (_pack(bundle, **{"check.json": b"{}"}), "check.json that can't be read"),
        (_pack_check(bundle, check | {"auc": float("nan")}), "check.json that can't be read"),
        (_pack_check(bundle, check | {"delay_s": float("inf")}), "check.json that can't be read"),
        (_pack_check(bundle, check | {"verdict": "x" * 501}), "check.json that can't be read"),
        (_pack(bundle)[: len(weights) // 2], "no uncompressed tar"),
    ):
        answer = api.post("/models/new", content=archive)
        assert answer.status_code == 422, reason
        (field,) = answer.json()["error"]["fields"]
        assert field["field"] == "body"
        assert reason in field["reason"]
    for name in ("auto", "none"):
        answer = api.post(f"/models/{name}", content=_pack(bundle))
        assert answer.status_code == 422
        assert "is a word of a learning's `start`" in answer.text
    for name in ("a b", "-x", "x" * 65, "%2e%2e", "a%2Fb"):
        assert api.post(f"/models/{name}", content=_pack(bundle)).status_code in (404, 422), name
    assert [each.name for each in models.iterdir()] == ["yard-1"]


@pytest.mark.parametrize("kind", ["x", "g", "X", "L", "K", "S", "V", "M"])
def test_a_header_that_is_read_into_memory_is_refused(
    api: httpx.Client, settings: Settings, kind: str
) -> None:
    bundle = settings.user_models / "yard-1"
    entry = tarfile.TarInfo("report/a.jpg")
    entry.type = kind.encode()
    headers = 2000 * entry.tobuf(tarfile.USTAR_FORMAT)
    for archive in (headers + _pack(bundle), _pack(bundle, odd=entry)):
        answer = api.post("/models/new", content=archive)
        assert answer.status_code == 422, answer.text
        assert "no plain file" in answer.json()["error"]["message"]
    assert [each.name for each in settings.user_models.iterdir()] == ["yard-1"]


def test_an_archive_that_is_too_large_is_refused(settings: Settings) -> None:
    archive = _pack(settings.user_models / "yard-1")
    with client(settings.model_copy(update={"max_model_bytes": len(archive) - 1})) as api:
        assert api.post("/models/new", content=archive).status_code == 413
        parts = (archive[start : start + 4096] for start in range(0, len(archive), 4096))
        assert api.post("/models/new", content=parts).status_code == 413
    assert [each.name for each in settings.user_models.iterdir()] == ["yard-1"]


def test_a_model_is_deleted_and_nothing_else(
    api: httpx.Client, settings: Settings, tmp_path: Path
) -> None:
    models = settings.user_models
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(models / "yard-1", elsewhere)
    (models / "linked").symlink_to(elsewhere)
    (models / "notes").mkdir()
    assert api.delete("/models/linked").status_code == 204
    assert (elsewhere / "bundle.json").is_file(), "only the link is gone"
    for name in ("notes", "..", "%2e%2e", "..%2Felsewhere", "nobody"):
        assert api.delete(f"/models/{name}").status_code in (404, 405), name
    assert api.delete("/models/demo").status_code == 409
    assert api.delete("/models/yard-1").status_code == 204
    assert api.get("/models/yard-1/archive").status_code == 404
    assert [each.name for each in models.iterdir()] == ["notes"]
