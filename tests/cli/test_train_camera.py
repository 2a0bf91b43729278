"""train from a live camera: it is connected again, and what it gave is kept and counted."""

from __future__ import annotations

import signal
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
from pytest_httpserver import HTTPServer

from model.bundles.bundle import load
from model.footage.footage_search import Source
from model.frames import FrameShape
from model.training.trainer import Training
from service.cli import train
from service.errors import BadInput
from service.learn.frame_recording import TrainingRecording
from service.learn.source_info import SourceInfo
from service.tools.bench.rtsp import RtspServer
from tests.support.commands import outcome, refusal
from tests.support.footage import drawn_picture, jpeg, write_video
from tests.support.http_cameras import http_camera, mjpeg
from tests.support.rtsp import require_gstreamer, rtsp_server
from tests.support.servers import free_port, wait_for

TINY = (
    *("--preset", "tiny", "--width", "4", "--size", "64x64", "--epochs", "1"),
    *("--threads", "1", "--colour", "grey"),
)
pytestmark = pytest.mark.usefixtures("environment")


def _video(folder: Path, frames: int = 40) -> Path:
    return write_video(folder / "one.mp4", (drawn_picture(step) for step in range(frames)))


def _train(
    capsys: pytest.CaptureFixture[str], url: str, out: Path, *options: str
) -> tuple[int, str]:
    code, said = outcome(capsys, "train", url, "--out", str(out), *TINY, *options)
    return code, " ".join(said.split())


def test_a_camera_that_comes_back_is_recorded_to_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require_gstreamer()
    server = RtspServer({"/one": _video(tmp_path)}, port=free_port())
    server.start()
    out, done = tmp_path / "m", threading.Event()

    def interrupt() -> None:
        wait_for(lambda: _count_recorded(out) >= 10, "frames")
        server.kill()
        server.start()
        done.wait(60)  # the server ends with the thread that started it

    worker = threading.Thread(target=interrupt)
    worker.start()
    try:
        options = ("--max-frames", "60", "--fps", "10")
        code, said = _train(capsys, f"{server.base}/one", out, *options)
    finally:
        done.set()
        worker.join()
        server.kill()
    assert code == 0, said
    assert "60 frames" in said
    origin = load(out).provenance
    assert origin.frames + origin.held_out_frames == 60
    assert not (tmp_path / "m.recording").exists(), "it is needed no more"


def test_a_camera_that_stays_away_is_short_and_is_trained_on_or_added_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require_gstreamer()
    server = RtspServer({"/one": _video(tmp_path, 20)}, port=free_port())
    server.user, server.password = "user", "1234/p@ss/w?rd#1"
    server.start()
    out, url = tmp_path / "m", f"RTSP://user:1234/p@ss/w?rd#1@127.0.0.1:{server.port}/one"
    options = ("--max-frames", "200", "--outage", "1")
    killer = threading.Timer(5.0, server.kill)
    killer.start()
    said = refusal(capsys, "train", url, "--out", str(out), *TINY, *options)
    killer.join()
    assert "of 200 frames of RTSP://***@127.0.0.1" in said
    assert "--allow-short" in said and "p@ss" not in said
    kept = int(said.partition("recorded ")[2].split()[0])
    assert 0 < kept < 100
    folder = out.with_name("m.recording")
    assert not [file for file in folder.rglob("*") if b"p@ss" in _content(file)]
    server.start()
    killer = threading.Timer(3.0, server.kill)
    killer.start()
    said = refusal(capsys, "train", url, "--out", str(out), *TINY, *options)
    killer.join()
    more = int(said.partition("recorded ")[2].split()[0])
    assert more > kept, "the same command records the rest"
    # And while the camera is away, what there is can be trained on.
    code, said = _train(capsys, url, out, *options, "--allow-short")
    assert code == 0, said
    assert f"{more} frames were recorded before" in said
    origin = load(out).provenance
    assert origin.frames + origin.held_out_frames == more


def _content(file: Path) -> bytes:
    return file.read_bytes() if file.is_file() else b""


def test_a_camera_that_stalls_is_given_up_and_more_than_half_will_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require_gstreamer()
    server = RtspServer({"/one": _video(tmp_path, 300)})
    server.start()
    url, out = f"{server.base}/one", tmp_path / "m"

    def stall() -> None:
        wait_for(lambda: _count_recorded(out) >= 40, "frames")
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)

    staller = threading.Thread(target=stall)
    staller.start()
    try:
        code, said = _train(capsys, url, out, "--max-frames", "70", "--outage", "2")
    finally:
        staller.join()
        server.kill()
    assert code == 0, said
    assert "of 70 frames" in said and "going on with these" in said


def _count_recorded(out: Path) -> int:
    folder = out.with_name(f"{out.name}.recording")
    return sum(index.read_text().count("\n") for index in folder.glob("*/index.jsonl"))


def test_an_http_camera_is_recorded_at_its_own_rate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with http_camera(mjpeg(fps=10.0)) as base:
        code, said = _train(capsys, f"{base}/live", tmp_path / "m", "--max-frames", "30")
    assert code == 0, said
    assert load(tmp_path / "m").provenance.frame_rate == pytest.approx(10.0, rel=0.2)


def test_a_recording_over_http_needs_no_number_of_frames(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], httpserver: HTTPServer
) -> None:
    data = _video(tmp_path, 30).read_bytes()
    httpserver.expect_request("/one.mp4").respond_with_data(data, content_type="video/mp4")
    code, said = _train(capsys, httpserver.url_for("/one.mp4"), tmp_path / "m")
    assert code == 0, said
    assert "30 frames, 2.9 s" in said


SNAPSHOTS = ("--fps", "20", "--outage", "1")


class Snapshots:
    """A camera whose snapshots change, and which can be away, or answer with a page."""

    def __init__(self) -> None:
        self.away = False
        self.pages = 0
        self.colour = 0
        self.asked = 0

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        self.asked += 1
        picture = drawn_picture(self.asked)
        picture[..., 0] = np.maximum(picture[..., 0], self.colour)
        kind, body = "image/jpeg", jpeg(picture)
        if self.pages:
            self.pages -= 1
            kind, body = "text/html", b"<html>starting</html>" * 50
        request.send_response(503 if self.away else 200)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)


def _ended_after(camera: Snapshots, out: Path, frames: int) -> threading.Thread:
    """Takes the camera away once so many frames are recorded."""

    def end() -> None:
        wait_for(lambda: _count_recorded(out) >= frames, "frames")
        camera.away = True

    thread = threading.Thread(target=end)
    thread.start()
    return thread


def test_what_another_camera_gave_before_is_not_learned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    camera, other, out = Snapshots(), Snapshots(), tmp_path / "m"
    with http_camera(camera) as one, http_camera(other) as two:
        ending = _ended_after(camera, out, 10)
        options = ("--max-frames", "60", *SNAPSHOTS)
        refusal(capsys, "train", f"{one}/s.jpg", "--out", str(out), *TINY, *options)
        ending.join()
        code, said = _train(capsys, f"{two}/s.jpg", out, *options)
    assert code == 0, said
    origin = load(out).provenance
    assert origin.frames + origin.held_out_frames == 60


def test_cameras_that_differ_in_a_secret_only_are_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with http_camera(Snapshots()) as base:
        urls = [f"{base}/s.jpg?key={key}" for key in ("one", "two")]
        options = ("--out", str(tmp_path / "m"), *TINY, *SNAPSHOTS, "--max-frames", "20")
        code, said = outcome(capsys, "train", *urls, *options)
        assert code == 0, said
        origin = load(tmp_path / "m").provenance
        assert origin.frames + origin.held_out_frames == 40
        again = ("--out", str(tmp_path / "n"), *options[2:])
        assert "is given twice" in refusal(capsys, "train", urls[0], urls[0], *again)


def test_a_short_run_that_was_interrupted_is_resumed_without_the_camera(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    camera, out = Snapshots(), tmp_path / "m"
    options = ("--max-frames", "60", *SNAPSHOTS, "--allow-short")
    with http_camera(camera) as base:
        ending = _ended_after(camera, out, 25)
        with monkeypatch.context() as patch:
            patch.setattr(train, "show_run", _interrupt)
            code, said = _train(capsys, f"{base}/s.jpg", out, *options)
        ending.join()
        assert code == 130 and "--resume" in said
        recorded = _count_recorded(out)
        asked = camera.asked
        code, said = _train(capsys, f"{base}/s.jpg", out, *options, "--resume")
        assert code == 0, said
        assert camera.asked == asked, "a resumed run asks for nothing"
    origin = load(out).provenance
    assert origin.frames + origin.held_out_frames == recorded


def _interrupt(_: object, run: Training, checkpoint: Path, stop: threading.Event) -> None:
    stop.set()
    run.run(checkpoint=checkpoint, stop=stop.is_set)


def test_pages_in_the_place_of_pictures_are_an_outage_like_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    camera, out = Snapshots(), tmp_path / "m"

    def restart() -> None:
        wait_for(lambda: _count_recorded(out) >= 10, "frames")
        camera.pages = 2

    restarting = threading.Thread(target=restart)
    restarting.start()
    with http_camera(camera) as base:
        options = ("--fps", "20", "--outage", "30", "--max-frames", "40")
        code, said = _train(capsys, f"{base}/s.jpg", out, *options)
    restarting.join()
    assert code == 0, said
    assert camera.pages == 0
    assert "40 frames" in said


def test_a_camera_that_has_gone_grey_goes_on_in_colour(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    camera, out = Snapshots(), tmp_path / "m"
    camera.colour = 250
    words = ("--max-frames", "40", *SNAPSHOTS, *TINY[:-2])
    with http_camera(camera) as base:
        ending = _ended_after(camera, out, 10)
        refusal(capsys, "train", f"{base}/s.jpg", "--out", str(out), *words)
        ending.join()
        camera.away, camera.colour = False, 0
        code, said = outcome(capsys, "train", f"{base}/s.jpg", "--out", str(out), *words)
    assert code == 0, said
    assert load(out).config.channels == 3


def test_a_recording_that_was_cut_off_while_it_was_written_goes_on(tmp_path: Path) -> None:
    shape, source = FrameShape(8, 8, 1), Source("camera", "rtsp://camera/one")
    recording = TrainingRecording(tmp_path / "m.recording")
    with recording.lock():
        begun = recording.open_source(source)
        begun.info = SourceInfo(10.0, has_colour=False, is_live=True)
        begun.begin(shape, 10.0)
        with pytest.raises(BadInput, match="another run"), recording.lock():
            pass
    (begun.folder / "frames.bin").write_bytes(bytes(range(200)))
    entry = '{"captured_at": 1.0, "continues": true}\n'
    (begun.folder / "index.jsonl").write_text(entry * 3 + entry[:20])
    again = TrainingRecording(tmp_path / "m.recording").open_source(source)
    assert again.count == 3
    (clip,) = again.read_clips()
    assert clip.frames.tobytes() == bytes(range(192))
    with again.open_to_append() as append:
        append(np.full((8, 8), 7, np.uint8), 2.0, True)
    assert (begun.folder / "index.jsonl").read_text().startswith(entry * 3 + '{"captured_at":2.0')
    assert (begun.folder / "frames.bin").read_bytes() == bytes(range(192)) + b"\7" * 64
    assert TrainingRecording(tmp_path / "m.recording").open_source(source).recorded_s == 1.0
    with pytest.raises(BadInput, match=r"a recording with fps 10\.0 and not 5\.0"):
        again.begin(shape, 5.0)
    (begun.folder / "camera.json").write_text('{"form')
    with pytest.raises(BadInput, match="can't be read: delete it"):
        TrainingRecording(tmp_path / "m.recording").open_source(source)


def test_a_camera_without_a_number_of_frames_or_with_nothing_there_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with rtsp_server({"/one": _video(tmp_path)}) as base:
        out = ("--out", str(tmp_path / "m"))
        assert "--max-frames" in refusal(capsys, "train", f"{base}/one", *out, *TINY)
        said = refusal(capsys, "train", f"{base}/two", *out, *TINY, "--max-frames", "9")
        assert "404" in said
    said = refusal(capsys, "train", f"{base}/one", *out, *TINY, "--max-frames", "9")
    assert "the connection is refused" in said
