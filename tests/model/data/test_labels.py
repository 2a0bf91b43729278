"""The table of labels, read strictly; other forms are tested with their data sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.data.labels import LabelError, read_labels


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
