"""Labels: read strictly, and matched to the clips by name."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from model.labels import LabelError, labelled_clips, read_labels


def _write(path: Path, *rows: str, header: str = "clip,frame,abnormal") -> Path:
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


def test_labels_are_read_clip_by_clip(tmp_path: Path) -> None:
    path = _write(tmp_path / "labels.csv", "a,0,0", "b,0,1", "a,1,1")
    labels = read_labels(path)
    assert {clip: values.tolist() for clip, values in labels.items()} == {
        "a": [False, True],
        "b": [True],
    }


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes("clip,frame,abnormal\na,0,1\n".encode("utf-8-sig"))
    assert read_labels(path)["a"].tolist() == [True]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (("a,1,0",), "line 2.*expected frame 0"),
        (("a,0,0", "a,0,1"), "line 3.*expected frame 1"),
        (("a,0,2",), "line 2.*0 or 1"),
        (("a,0,nan",), "line 2"),
        (("a,zero,0",), "line 2"),
        (("a,0",), "line 2"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, rows: tuple[str, ...], words: str) -> None:
    path = _write(tmp_path / "labels.csv", *rows)
    with pytest.raises(LabelError, match=words):
        read_labels(path)


def test_files_that_are_no_labels_are_named(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    with pytest.raises(LabelError, match=r"labels\.csv"):
        read_labels(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LabelError, match=r"labels\.csv"):
        read_labels(path)
    _write(path, "a,0,1", header="video,frame,label")
    with pytest.raises(LabelError, match="needs clip, frame and abnormal"):
        read_labels(path)


def _clip(folder: Path) -> None:
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "0.png"), np.zeros((8, 8), np.uint8))


@pytest.mark.parametrize("above", [True, False])
def test_clips_and_labels_meet_by_name(tmp_path: Path, above: bool) -> None:
    testing = tmp_path / "testing"
    _clip(testing / "frames" / "01")
    _clip(testing / "frames" / "02")
    _write(testing / "labels.csv", "02,0,1", "01,0,0")
    clips = labelled_clips(tmp_path if above else testing)
    assert [(clip.source.name, clip.abnormal.tolist()) for clip in clips] == [
        ("01", [False]),
        ("02", [True]),
    ]


def test_a_clip_without_labels_is_named(tmp_path: Path) -> None:
    _clip(tmp_path / "frames" / "01")
    _write(tmp_path / "labels.csv", "02,0,1")
    with pytest.raises(LabelError, match="nothing of clip 01"):
        labelled_clips(tmp_path)
