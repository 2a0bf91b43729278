"""train --stream: clips of events that were called normal are trained on, too."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch

from model.bundles.bundle import load
from model.training.windows import WindowConfig
from service.cli.train import CALLED_SHARE
from service.media.clip import encode_clip
from service.media.normal_clips import NormalClipFolder
from tests.media.shots import shot
from tests.support.commands import outcome, refusal
from tests.support.footage import Picture, draw_clip, drawn_picture, write_video

TINY = (
    *("--preset", "tiny", "--width", "4", "--size", "64x64", "--epochs", "1"),
    *("--seed", "3", "--threads", "1", "--colour", "grey"),
)
FRAMES = 14
pytestmark = pytest.mark.usefixtures("environment")


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of a square that walks by."""
    root = tmp_path_factory.mktemp("footage")
    for number in range(2):
        draw_clip(root / f"{number}", 5 * number, 30)
    return root


@pytest.fixture
def folder(environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NormalClipFolder:
    """What is kept in a data folder of the test's own; the stream `yard` has no label yet."""
    monkeypatch.setenv("NORMWATCH_DATA_DIR", str(tmp_path / "data"))
    made = NormalClipFolder(tmp_path / "data" / "normal")
    made.make_folder("yard")
    return made


def _other_things() -> Iterable[Picture]:
    for step in range(FRAMES):
        picture = drawn_picture(0)
        picture[10:80, 6 * step : 6 * step + 12] = 255
        yield picture


def _keep(folder: NormalClipFolder, event_id: str, fps: int = 10) -> None:
    clip = write_video(folder.root / "clip.mp4", _other_things(), fps)
    folder.put("yard", event_id, clip)
    clip.unlink()


def _trained(capsys: pytest.CaptureFixture[str], footage: Path, out: Path, *options: str) -> str:
    code, said = outcome(
        capsys, "train", str(footage), "--out", str(out), *TINY, "--fps", "10", *options
    )
    assert code == 0, said
    return " ".join(said.split())


def test_kept_clips_are_trained_on_and_named(
    footage: Path, folder: NormalClipFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        _keep(folder, f"evt_{number}")
    said = _trained(capsys, footage, tmp_path / "with", "--stream", "yard")
    assert "stream yard: 4 clips called normal, 6 s" in said
    assert f"{48 + 4 * FRAMES} frames to train on, 12 held out" in said
    origin = load(tmp_path / "with").provenance
    assert origin.sources == ("0", "1", "stream yard: 4 clips called normal")
    settings = {"stream": "yard", "stream_clips": 4, "stream_s": 5.6, "stream_share": 0.25}
    assert {key: origin.settings[key] for key in settings} == settings
    assert origin.frames + origin.held_out_frames == 60 + 4 * FRAMES


def test_of_a_clip_that_says_when_its_event_lasts_that_is_learned(
    footage: Path, folder: NormalClipFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shots = [shot(frame) for frame in range(60)]
    (tmp_path / "clip.mp4").write_bytes(encode_clip(shots, 10.0, (25, 34)))
    folder.put("yard", "evt_1", tmp_path / "clip.mp4")
    said = _trained(capsys, footage, tmp_path / "x", "--stream", "yard")
    assert "stream yard: 1 clip called normal, 6 s" in said
    assert f"{48 + 10 + 10 + 10} frames to train on, 12 held out" in said


def test_before_an_event_there_may_be_too_few_pictures_to_learn_from(
    footage: Path, folder: NormalClipFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shots = [shot(frame) for frame in (*range(0, 25, 3), *range(26, 60))]
    (tmp_path / "clip.mp4").write_bytes(encode_clip(shots, 10.0, (25, 34)))
    folder.put("yard", "evt_1", tmp_path / "clip.mp4")
    said = _trained(capsys, footage, tmp_path / "x", "--stream", "yard")
    assert "left out" not in said
    assert f"{48 + 3 + 19} frames to train on, 12 held out" in said


def test_a_stream_without_labels_trains_the_same_bundle_and_says_so(
    footage: Path, folder: NormalClipFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _trained(capsys, footage, tmp_path / "without")
    said = _trained(capsys, footage, tmp_path / "with", "--stream", "yard")
    assert "stream yard: no event of it is called normal, and has a clip" in said
    one, other = load(tmp_path / "without"), load(tmp_path / "with")
    assert torch.equal(one.items, other.items)
    assert one.calibration == other.calibration


def test_clips_with_too_few_pictures_a_second_are_left_out_and_named(
    footage: Path, folder: NormalClipFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _keep(folder, "evt_slow", fps=5)
    _keep(folder, "evt_fast", fps=20)
    (folder.stream_folder("yard") / "evt_broken.mp4").write_bytes(b"no video")
    said = _trained(capsys, footage, tmp_path / "x", "--stream", "yard", "--stream-share", "0")
    assert "evt_slow.mp4: it has 5.0 pictures a second, and this training takes 10" in said
    assert "evt_broken.mp4: it can't be read as video" in said
    assert "stream yard: 1 clip called normal, 1 s" in said
    # Of one with twice as many, every other picture is taken.
    assert f"{48 + FRAMES // 2} frames to train on, 12 held out" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--stream", "shed"), ("--stream", "shed", "there is no folder", "NORMWATCH_DATA_DIR")),
        (("--stream", "../yard"), ("--stream", "../yard", "is no id of a stream")),
        (("--stream", ""), ("--stream", "is no id of a stream")),
        (("--stream", "yard", "--stream-share", "1"), ("--stream-share", "1")),
        (("--stream", "yard", "--stream-share", "nan"), ("--stream-share", "nan")),
    ],
)
def test_bad_arguments_are_refused_in_one_line(
    options: tuple[str, ...],
    words: tuple[str, ...],
    footage: Path,
    folder: NormalClipFolder,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert folder.stream_folder("yard").is_dir()
    out = ("--out", str(tmp_path / "x"), *TINY, "--fps", "10")
    line = refusal(capsys, "train", str(footage), *out, *options)
    for word in words:
        assert word in line


def test_images_need_their_rate_to_be_given(
    footage: Path, folder: NormalClipFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _keep(folder, "evt_1")
    out = ("--out", str(tmp_path / "x"), *TINY)
    line = refusal(capsys, "train", str(footage), *out, "--stream", "yard")
    assert line.startswith("normwatch: --fps: is needed with --stream")
    assert not os.path.lexists(tmp_path / "x")


def test_the_share_is_that_of_the_model() -> None:
    assert WindowConfig().called_share == CALLED_SHARE
