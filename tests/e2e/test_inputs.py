"""One door: the same input gives the same frames to train, score, a stream and an upload.

The table that this makes stands in docs/studies/inputs.md. `NORMWATCH_WRITE_DOCS=1` writes it.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.commands import outcome
from tests.support.servers import wait_for
from tests.support.service import Service, running_service

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "studies" / "inputs.md"
BEGIN, END = "<!-- made by tests/e2e/test_inputs.py -->", "<!-- end -->"
COLUMNS = ("train", "score", "stream", "upload")
TINY = ("--preset", "tiny", "--width", "4", "--size", "64x64", "--epochs", "1", "--threads", "1")
FRAMES = {
    "twice.ts": 120, "damaged.mp4": 58, "cover-first.mp4": 60, "thumbnail-first.mkv": 60,
    "rotated.mp4": 60, "recordings/": 120 + 58 + 60 + 1, "pictures/": 29,
}  # fmt: skip

pytestmark = pytest.mark.shared


@dataclass(frozen=True)
class Seen:
    """What one reader saw of an input."""

    frames: int
    seconds: float
    lost: int

    def __str__(self) -> str:
        lost = f", {self.lost} lost" if self.lost else ""
        return f"{self.frames} in {self.seconds:.1f} s{lost}"


@pytest.fixture(scope="module")
def inputs(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared inputs, and folders like those of people."""
    given = shared / "data" / "inputs"
    folder = tmp_path_factory.mktemp("inputs")
    for name in (name for name in FRAMES if not name.endswith("/")):
        shutil.copy(given / name, folder / name)
    recordings = folder / "recordings"
    for name in ("2026-11-10/a.m2ts", "2026-11-9/b.m4v", "2026-11-9/broken.mp4", "c.flv"):
        (recordings / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(given / "twice.ts", recordings / "2026-11-10" / "a.m2ts")
    shutil.copy(given / "damaged.mp4", recordings / "2026-11-9" / "b.m4v")
    (recordings / "2026-11-9" / "broken.mp4").write_bytes(b"")
    shutil.copy(given / "cover-first.mp4", recordings / "c.flv")
    cv2.imwrite(str(recordings / "cover.jpg"), np.full((240, 320, 3), 90, np.uint8))
    pictures = folder / "pictures"
    pictures.mkdir()
    capture = cv2.VideoCapture(str(given / "rotated.mp4"))
    for number in range(30):
        cv2.imwrite(str(pictures / f"{number}.jpg"), capture.read()[1])
    capture.release()
    (pictures / "15.jpg").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def service(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that may read them."""
    data = tmp_path_factory.mktemp("data")
    with running_service(data, NORMWATCH_MEDIA_DIRS=str(inputs)) as running:
        yield running


def trained(capsys: pytest.CaptureFixture[str], source: Path, out: Path) -> Seen:
    """What `normwatch train` says that it read."""
    code, said = outcome(capsys, "train", str(source), "--out", str(out), *TINY, "--fps", "10")
    assert code == 0, said
    text = " ".join(said.split())
    read = re.findall(r"read \S+: (\d+) frames?, ([\d.]+) s(?:, in \d+ runs)?( \(\d+ frame)?", text)
    lost = sum(int(part.strip(" (frame")) for _, _, part in read if part)
    return Seen(sum(int(each[0]) for each in read), sum(float(each[1]) for each in read), lost)


def scored(capsys: pytest.CaptureFixture[str], source: Path, out: Path) -> tuple[Seen, list[str]]:
    """What `normwatch score` wrote, and the PSNR of each frame."""
    code, said = outcome(capsys, "score", "demo", str(source), "--out", str(out))
    assert code == 0, said
    with out.open() as file:
        rows = list(csv.DictReader(file))
    spans: dict[str, list[float]] = {}
    for row in rows:
        spans.setdefault(row["clip"], []).append(float(row["time_s"]))
    lost = sum(map(int, re.findall(r"(\d+) frames? lost", " ".join(said.split()))))
    seconds = sum(times[-1] - times[0] for times in spans.values())
    return Seen(len(rows), seconds, lost), [row["psnr"] for row in rows]


def streamed(service: Service, stream_id: str) -> tuple[Seen, list[dict[str, Any]]]:
    """What a stream has scored, once it has ended."""

    def status() -> dict[str, Any]:
        found: dict[str, Any] = service.client.get(f"/streams/{stream_id}").json()["status"]
        return found

    wait_for(lambda: status()["state"] == "ended", "the end", 60)
    wait_for(lambda: len(service.scores(stream_id)) == status()["scored"], "the scores")
    return _seen(service.scores(stream_id), status()["dropped"].get("unreadable", 0))


def _seen(scores: list[dict[str, Any]], lost: int) -> tuple[Seen, list[dict[str, Any]]]:
    times = [np.datetime64(each["captured_at"].rstrip("Z")) for each in scores]
    return Seen(len(scores), float((times[-1] - times[0]) / np.timedelta64(1, "s")), lost), scores


def uploaded(service: Service, path: Path) -> Seen:
    """What an upload stream has scored of a video, or of pictures at 10 a second."""
    stream = service.create("/streams", name=path.name, source="upload", model="demo")
    url = f"/streams/{stream['id']}/frames"
    lost = 0
    if path.is_file():
        answer = service.client.post(url, files={"file": path.read_bytes()})
        assert answer.status_code == 202, answer.text
        count, lost = answer.json()["frames"]["count"], answer.json()["lost"]
    else:
        count = 0
        for number in range(30):
            data = (path / f"{number}.jpg").read_bytes()
            times = {"captured_at": f"{1_790_000_000 + number / 10}"}
            answer = service.client.post(url, files={"file": ("f.jpg", data)}, data=times)
            lost += answer.status_code == 422
            count += answer.status_code == 202
    wait_for(lambda: len(service.scores(stream["id"])) == count, "the scores of an upload", 60)
    return _seen(service.scores(stream["id"]), lost)[0]


class Readers:
    """Gives each input to the four readers, once, and keeps what they saw."""

    def __init__(self, inputs: Path, service: Service, folder: Path) -> None:
        self._inputs, self._service, self._folder = inputs, service, folder
        self._rows: dict[str, tuple[Seen, ...]] = {}
        # All streams play at once: each takes as long as its footage.
        self._streams = {
            name: service.create(
                "/streams", name=name, source=str(inputs / name.rstrip("/")), model="demo"
            )["id"]
            for name in FRAMES
        }

    def row(self, name: str, capsys: pytest.CaptureFixture[str]) -> tuple[Seen, ...]:
        """Returns what train, score, a stream and an upload saw of the input."""
        if name not in self._rows:
            self._rows[name] = self._read(name, capsys)
        return self._rows[name]

    def _read(self, name: str, capsys: pytest.CaptureFixture[str]) -> tuple[Seen, ...]:
        source, out = self._inputs / name.rstrip("/"), self._folder / name.rstrip("/")
        score, psnr = scored(capsys, source, out.with_suffix(".csv"))
        seen, frames = streamed(self._service, self._streams[name])
        # The same pixels, not only as many: a stream's frames measure what the file's do.
        live = [each["psnr"] for each in frames if each["psnr"] is not None]
        np.testing.assert_allclose(live, [float(each) for each in psnr if each], atol=0.02)
        train = trained(capsys, source, out.with_suffix(".model"))
        if name == "recordings/":
            files = [path for path in sorted(source.rglob("*.*")) if path.is_file()]
            each = [uploaded(self._service, path) for path in files if path.stat().st_size]
            upload = Seen(*(sum(values) for values in zip(*map(_values, each), strict=True)))
        else:
            upload = uploaded(self._service, source)
        return train, score, seen, upload


@pytest.fixture(scope="module")
def readers(inputs: Path, service: Service, tmp_path_factory: pytest.TempPathFactory) -> Readers:
    return Readers(inputs, service, tmp_path_factory.mktemp("readers"))


@pytest.mark.parametrize(("name", "frames"), FRAMES.items())
def test_all_readers_see_the_same_frames(
    name: str,
    frames: int,
    readers: Readers,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", "")  # or training would start itself again
    row = readers.row(name, capsys)
    assert [each.frames for each in row] == [frames] * len(COLUMNS)
    assert len({each.lost for each in row}) == 1, row
    if name != "recordings/":  # as a stream, one file follows the other
        np.testing.assert_allclose([each.seconds for each in row], row[0].seconds, atol=0.15)


def test_the_page_of_inputs_says_what_the_readers_see(
    readers: Readers, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", "")
    _check_page({name: readers.row(name, capsys) for name in FRAMES})


def _values(seen: Seen) -> tuple[float, ...]:
    return seen.frames, seen.seconds, seen.lost


def test_a_rotated_video_is_shown_upright(inputs: Path, service: Service) -> None:
    on_disk = service.create("/streams", name="r", source=str(inputs / "rotated.mp4"), model="demo")
    sent = service.create("/streams", name="u", source="upload", model="demo")
    service.client.post(
        f"/streams/{sent['id']}/frames", files={"file": (inputs / "rotated.mp4").read_bytes()}
    )
    for stream in (on_disk, sent):
        url = f"/streams/{stream['id']}/frame.jpg"
        wait_for(lambda url=url: service.client.get(url).is_success, "a picture")
        picture = cv2.imdecode(
            np.frombuffer(service.client.get(url).content, np.uint8), cv2.IMREAD_COLOR
        )
        assert picture.shape == (320, 240, 3)


def _check_page(rows: dict[str, tuple[Seen, ...]]) -> None:
    lines = ["| input | " + " | ".join(COLUMNS) + " |", "|---" * 5 + "|"]
    lines += [f"| `{name}` | " + " | ".join(map(str, row)) + " |" for name, row in rows.items()]
    made = f"{BEGIN}\n" + "\n".join(lines) + f"\n{END}"
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    written = before + made + rest.partition(END)[2]
    if os.environ.get("NORMWATCH_WRITE_DOCS"):
        PAGE.write_text(written, encoding="utf-8")
    elif _counts(page) != _counts(written):
        pytest.fail(f"{PAGE} is out of date: run this test with NORMWATCH_WRITE_DOCS=1\n{made}")


def _counts(page: str) -> list[str]:
    """The page without seconds, which differ by a frame's jitter."""
    return re.sub(r" in [\d.]+ s", "", page).splitlines()
