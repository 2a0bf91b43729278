"""Data sets in the folders that users have, each made small and real, and Ped2 itself."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat

from model.data.datasets import load_test_clips
from model.data.labels import LabelError, read_flags
from model.data.masks import read_matlab_masks
from model.footage.footage_error import FootageError
from model.footage.footage_reader import FootageReader
from tests.support.footage import write_video

SIZE = (24, 32)
"""Rows, columns."""
Flags = list[int]


def _write_mask(abnormal: int) -> NDArray[np.uint8]:
    mask = np.zeros(SIZE, np.uint8)
    mask[4 : 4 + 8 * abnormal, 6:12] = 1
    return mask


def _write_frames(folder: Path, count: int, suffix: str = "jpg") -> None:
    folder.mkdir(parents=True)
    for index in range(count):
        cv2.imwrite(str(folder / f"{index:03d}.{suffix}"), np.full(SIZE, 9 * index, np.uint8))


def _write_masks(folder: Path, flags: Flags, suffix: str) -> None:
    folder.mkdir(parents=True)
    for index, abnormal in enumerate(flags):
        cv2.imwrite(str(folder / f"{index:03d}.{suffix}"), 255 * _write_mask(abnormal))


def _write_csv(path: Path, **clips: Flags) -> None:
    rows = [f"{c.strip('_')},{i},{a}" for c, flags in clips.items() for i, a in enumerate(flags)]
    path.write_text("\n".join(["clip,frame,abnormal", *rows]) + "\n")


def _write_ucsd(root: Path, *clips: Flags, masks: bool = True) -> Path:
    tests = root / "Test"
    for number, flags in enumerate(clips, start=1):
        _write_frames(tests / f"Test{number:03d}", len(flags), "tif")
        if masks:
            _write_masks(tests / f"Test{number:03d}_gt", flags, "bmp")
    return tests


def _make_cells(*flags: int) -> NDArray[np.object_]:
    cells = np.empty((1, len(flags)), object)
    for index, abnormal in enumerate(flags):
        cells[0, index] = _write_mask(abnormal)
    return cells


def _write_avenue(root: Path, *clips: Flags) -> Path:
    masks = root / "ground_truth_demo" / "testing_label_mask"
    masks.mkdir(parents=True)
    for number, flags in enumerate(clips, start=1):
        savemat(str(masks / f"{number}_label.mat"), {"volLabel": _make_cells(*flags)})
    return masks


def _write_shanghaitech(root: Path, **clips: Flags) -> Path:
    testing = root / "testing"
    for folder in ("test_frame_mask", "test_pixel_mask"):
        (testing / folder).mkdir(parents=True)
    for name, flags in clips.items():
        clip = name.strip("_")
        _write_frames(testing / "frames" / clip, len(flags))
        np.save(testing / "test_frame_mask" / f"{clip}.npy", np.array(flags, np.int8))
        masks = np.stack([_write_mask(abnormal) for abnormal in flags])
        np.save(testing / "test_pixel_mask" / f"{clip}.npy", masks)
    return testing


def _read(folder: Path, layout: str | None = None) -> dict[str, Flags]:
    """Labels by clip, once the masks are seen to say the same."""
    clips = load_test_clips(folder, layout)
    for clip in clips:
        assert clip.masks is not None
        masks = clip.masks()
        assert (masks.dtype, masks.shape) == (np.dtype(bool), (len(clip.abnormal), *SIZE))
        assert (masks == np.stack([_write_mask(a) for a in clip.abnormal.astype(int)])).all()
    return _read_labels(folder, layout)


def _read_labels(folder: Path, layout: str | None = None) -> dict[str, Flags]:
    return {c.source.name: c.abnormal.astype(int).tolist() for c in load_test_clips(folder, layout)}


@pytest.mark.parametrize("layout", [None, "plain", "ped2"])
def test_clips_next_to_a_table_of_labels_are_read_with_their_masks(
    tmp_path: Path, layout: str | None
) -> None:
    testing = tmp_path / "testing"
    for clip, flags in (("01", [0, 1, 1]), ("02", [1, 0])):
        _write_frames(testing / "frames" / clip, len(flags))
        _write_masks(testing / "masks" / clip, flags, "png")
    _write_csv(testing / "labels.csv", _02=[1, 0], _01=[0, 1, 1])
    assert _read(tmp_path, layout) == {"01": [0, 1, 1], "02": [1, 0]}
    shutil.rmtree(testing / "masks" / "01")
    assert [clip.masks is None for clip in load_test_clips(testing)] == [True, False]


@pytest.mark.parametrize("layout", [None, "ped1"])
def test_ucsd_labels_come_from_the_script_in_matlab(tmp_path: Path, layout: str | None) -> None:
    tests = _write_ucsd(tmp_path, [0, 1, 1, 0], [1, 1, 0, 1], masks=False)
    (tests / "UCSDped1.m").write_text(
        "TestVideoFile = {};\n% TestVideoFile{end+1}.gt_frame = [1:4];\n"
        "TestVideoFile{end+1}.gt_frame = [2:3];\nTestVideoFile{end+1}.gt_frame = [1:2, 4];\n"
    )
    assert _read_labels(tmp_path, layout) == {"Test001": [0, 1, 1, 0], "Test002": [1, 1, 0, 1]}
    assert all(clip.masks is None for clip in load_test_clips(tmp_path))


@pytest.mark.parametrize("layout", [None, "ped2"])
def test_ucsd_labels_come_from_masks_where_there_is_no_script(
    tmp_path: Path, layout: str | None
) -> None:
    tests = _write_ucsd(tmp_path, [0, 1, 1], [1, 0])
    (tests / "Test001" / "._001.tif").write_bytes(b"\0\5\x16\7")  # the archive has such
    assert _read(tmp_path, layout) == {"Test001": [0, 1, 1], "Test002": [1, 0]}
    assert _read(tests, layout) == _read(tmp_path, layout)


def test_a_folder_of_several_data_sets_needs_a_name(tmp_path: Path) -> None:
    _write_ucsd(tmp_path / "UCSDped1", [0, 1])
    _write_ucsd(tmp_path / "UCSDped2", [1, 1])
    with pytest.raises(LabelError, match="holds ped1 and ped2: name one"):
        load_test_clips(tmp_path)
    assert _read(tmp_path, "ped1") == {"Test001": [0, 1]}
    assert _read(tmp_path, "ped2") == {"Test001": [1, 1]}
    shutil.rmtree(tmp_path / "UCSDped1")
    assert _read(tmp_path) == {"Test001": [1, 1]}


@pytest.mark.parametrize("layout", [None, "avenue"])
def test_avenue_is_read_from_videos(tmp_path: Path, layout: str | None) -> None:
    _write_avenue(tmp_path, [0, 1, 1, 0], [1, 0])
    (tmp_path / "testing_videos").mkdir()
    for name, count in (("01", 4), ("02", 2)):
        pictures = [np.full((*SIZE, 3), 40 * index, np.uint8) for index in range(count)]
        video = write_video(tmp_path / "testing_videos" / f"{name}.mp4", pictures)
        video.rename(video.with_suffix(".avi"))
    assert _read(tmp_path, layout) == {"01.avi": [0, 1, 1, 0], "02.avi": [1, 0]}
    counts = [sum(1 for _ in FootageReader(clip.source)) for clip in load_test_clips(tmp_path)]
    assert counts == [4, 2]


@pytest.mark.parametrize("layout", [None, "avenue"])
def test_avenue_is_read_from_folders_of_frames(tmp_path: Path, layout: str | None) -> None:
    _write_avenue(tmp_path / "Avenue Dataset", [0, 1, 1])
    _write_frames(tmp_path / "Avenue Dataset" / "testing" / "frames" / "01", 3)
    assert _read(tmp_path, layout) == {"01": [0, 1, 1]}


@pytest.mark.parametrize("layout", [None, "shanghaitech"])
def test_shanghaitech_is_read(tmp_path: Path, layout: str | None) -> None:
    testing = _write_shanghaitech(tmp_path, _01_0014=[0, 1, 1], _01_0015=[0, 0])
    assert _read(tmp_path, layout) == {"01_0014": [0, 1, 1], "01_0015": [0, 0]}
    # A clip without anything abnormal needs no masks.
    (testing / "test_pixel_mask" / "01_0015.npy").unlink()
    assert _read(testing, layout) == {"01_0014": [0, 1, 1], "01_0015": [0, 0]}


@pytest.mark.parametrize("shape", [(5,), (1, 5)])
@pytest.mark.parametrize("layout", [None, "ped2", "avenue"])
def test_one_array_may_label_all_frames(
    tmp_path: Path, layout: str | None, shape: tuple[int, ...]
) -> None:
    _write_frames(tmp_path / "testing" / "frames" / "01", 3)
    _write_frames(tmp_path / "testing" / "frames" / "02", 2)
    labels = np.array([0, 1, 1, 0, 1], np.float64).reshape(shape)
    np.save(tmp_path / "frame_labels_ped2.npy", labels)
    assert _read_labels(tmp_path, layout) == {"01": [0, 1, 1], "02": [0, 1]}


def test_masks_tell_more_than_an_array_of_labels(tmp_path: Path) -> None:
    _write_ucsd(tmp_path, [0, 1])
    np.save(tmp_path / "frame_labels_ped2.npy", np.array([1, 1]))
    assert _read(tmp_path) == {"Test001": [0, 1]}


def test_ped2_next_to_the_project_is_read(ped2: Path) -> None:
    clips = load_test_clips(ped2)
    assert (len(clips), sum(len(clip.abnormal) for clip in clips)) == (12, 2010)
    assert sum(clip.abnormal.sum() for clip in clips) == 1648
    masks = clips[1].masks
    assert masks is not None
    assert masks().shape == (180, 240, 360)
    assert (masks().any(axis=(1, 2)) == clips[1].abnormal).all()


def test_what_is_no_data_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"layout must be one of ped1, .* got 'ped3'"):
        load_test_clips(tmp_path, "ped3")
    with pytest.raises(LabelError, match=r"is no test set: it has none of .*test_frame_mask"):
        load_test_clips(tmp_path)
    with pytest.raises(
        LabelError, match=r"of layout ped2: it has none of clips next to labels\.csv"
    ):
        load_test_clips(tmp_path, "ped2")
    with pytest.raises(LabelError, match="no such folder"):
        load_test_clips(tmp_path / "absent")


def test_labels_that_do_not_fit_the_frames_are_named(tmp_path: Path) -> None:
    _write_frames(tmp_path / "frames" / "01", 3)
    _write_csv(tmp_path / "labels.csv", _01=[0, 1])
    with pytest.raises(LabelError, match="clip 01 has 3 frames but 2 labels"):
        load_test_clips(tmp_path)
    (tmp_path / "labels.csv").unlink()
    np.save(tmp_path / "frame_labels.npy", np.array([0, 1]))
    with pytest.raises(LabelError, match=r"frame_labels\.npy labels 2 frames, the clips have 3"):
        load_test_clips(tmp_path)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("a.gt_frame = [1:9];", "labels frame 9 of a clip of 2 frames"),
        ("a.gt_frame = [1:2];\na.gt_frame = [1:2];", "labels of 2 clips"),
        ("a.gt_frame = [2:1];", "clip 1 has a span '2:1'"),
        ("a.gt_frame = [one];", "clip 1 has a span 'one'"),
        ("", "no labels of clip Test001"),
    ],
)
def test_a_bad_script_is_named(tmp_path: Path, lines: str, words: str) -> None:
    tests = _write_ucsd(tmp_path, [0, 1], masks=False)
    (tests / "UCSDped2.m").write_text(lines)
    with pytest.raises(LabelError, match=words):
        load_test_clips(tmp_path)


def test_bad_arrays_are_named_and_never_unpickled(tmp_path: Path) -> None:
    testing = _write_shanghaitech(tmp_path, _01_0014=[0, 1, 1])
    path = testing / "test_frame_mask" / "01_0014.npy"
    for values, words in (
        (np.array([0, 2, 1]), "0 or 1 for each frame"),
        (np.zeros((2, 2)), r"got shape \(2, 2\)"),
        (np.array([None, 1], object), "cannot read labels"),
        (np.array(["a"]), "one array of numbers"),
    ):
        np.save(path, values, allow_pickle=True)
        with pytest.raises(LabelError, match=words):
            load_test_clips(tmp_path)
    path.write_bytes(b"no array")
    with pytest.raises(LabelError, match=r"01_0014\.npy"):
        load_test_clips(tmp_path)
    path.unlink()
    with pytest.raises(LabelError, match=r"01_0014\.npy"):
        load_test_clips(tmp_path)


def test_a_damaged_array_is_named_for_each_error_of_numpy(tmp_path: Path) -> None:
    path = tmp_path / "labels.npy"
    np.save(path, np.array([0, 1, 1]))
    whole = path.read_bytes()
    archive = io.BytesIO()
    np.savez(archive, labels=np.array([0, 1]))
    for data in (
        b"",
        whole[:50],
        whole[:-1],
        whole.replace(b"(3,)", b"((((", 1),
        whole.replace(b"(3,), }", b"(99999999999999,), }", 1),
        whole.replace(b"'shape': (3,)", b"'shape':\n  (3,", 1),
        b"PK\x03\x04" + bytes(80),
        archive.getvalue(),
    ):
        path.write_bytes(data)
        with pytest.raises(LabelError, match=r"cannot read labels .*labels\.npy: \S+"):
            read_flags(path)


def test_bad_label_files_of_avenue_are_named(tmp_path: Path) -> None:
    masks = _write_avenue(tmp_path)
    with pytest.raises(LabelError, match="neither testing_videos nor testing/frames"):
        load_test_clips(tmp_path)
    _write_frames(tmp_path / "testing" / "frames" / "01", 2)
    path = masks / "1_label.mat"
    with pytest.raises(LabelError, match=r"1_label\.mat"):
        load_test_clips(tmp_path)
    ragged = _make_cells(0, 1)
    ragged[0, 1] = np.zeros((3, 3), np.uint8)
    words_in_cells = np.empty((1, 2), object)
    words_in_cells[0, :] = [np.array([["ab", "cd"]])] * 2
    for content, words in (
        ({"volLabel": words_in_cells}, "numeric masks"),
        ({"other": 1}, "holds no volLabel"),
        ({"volLabel": np.zeros((2, 3))}, "must be a cell array"),
        ({"volLabel": ragged}, "masks of one size"),
        ({"volLabel": _make_cells(0, 1, 1)}, "clip 01 has 2 frames but 3 labels"),
    ):
        savemat(str(path), content)
        with pytest.raises(LabelError, match=words):
            load_test_clips(tmp_path)
    head = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    for data, words in (
        (b"no MATLAB file", r"cannot read masks .*1_label\.mat"),
        (head + bytes(512), "save it as version 7"),
    ):
        path.write_bytes(data)
        with pytest.raises(LabelError, match=words):
            load_test_clips(tmp_path)


def test_a_file_that_crashes_the_reader_of_matlab_files_is_named(tmp_path: Path) -> None:
    cells = np.empty((1, 5), object)
    for index in range(5):
        cells[0, index] = np.zeros((8, 8), np.uint8)
    path = tmp_path / "1_label.mat"
    savemat(str(path), {"volLabel": cells})
    data = bytearray(path.read_bytes())
    assert read_matlab_masks(path).shape == (5, 8, 8)
    # The last cell's name gets a length; SciPy 1.17 then follows a null pointer.
    data[-76] = 3
    path.write_bytes(data)
    with pytest.raises(LabelError, match=r"cannot read masks .*1_label\.mat"):
        read_matlab_masks(path)


def test_what_never_ends_is_no_file_of_masks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "1_label.mat"
    os.mkfifo(path)
    monkeypatch.setattr("model.data.masks.MATLAB_LIMIT_S", 0.5)
    with pytest.raises(LabelError, match=r"1_label\.mat: not done after 0\.5 s"):
        read_matlab_masks(path)


def test_a_damaged_matlab_file_is_named_for_each_error_of_scipy(tmp_path: Path) -> None:
    path = tmp_path / "1_label.mat"
    savemat(str(path), {"volLabel": _make_cells(0, 1)})
    whole = path.read_bytes()
    for length in (0, 60, 150, 300, len(whole) - 9):
        path.write_bytes(whole[:length])
        with pytest.raises(LabelError, match=r"cannot read masks .*1_label\.mat: \S+"):
            read_matlab_masks(path)


def test_clips_that_are_labelled_but_not_there_are_named(tmp_path: Path) -> None:
    plain, avenue, shanghai, ucsd = (tmp_path / name for name in "abcd")
    _write_frames(plain / "frames" / "01", 1)
    _write_csv(plain / "labels.csv", _01=[0], _02=[1], _10=[1])
    _write_avenue(avenue, [0, 1], [1, 0])
    _write_frames(avenue / "testing" / "frames" / "01", 2)
    testing = _write_shanghaitech(shanghai, _01_0014=[0, 1], _01_0015=[1, 0])
    shutil.rmtree(testing / "frames" / "01_0015")
    shutil.rmtree(_write_ucsd(ucsd, [0, 1], [1, 0]) / "Test002")
    for root, words in (
        (plain, "labels of 02, 10, but there are no frames"),
        (avenue, r"labels of 2_label\.mat, but"),
        (shanghai, r"labels of 01_0015\.npy, but"),
        (ucsd, "labels of Test002, but"),
    ):
        with pytest.raises(LabelError, match=words):
            load_test_clips(root)


def test_bad_masks_are_named_when_they_are_read(tmp_path: Path) -> None:
    _write_frames(tmp_path / "frames" / "01", 3)
    _write_csv(tmp_path / "labels.csv", _01=[0, 1, 1])
    _write_masks(tmp_path / "masks" / "01", [0, 1], "png")
    (clip,) = load_test_clips(tmp_path)
    assert clip.masks is not None
    with pytest.raises(LabelError, match="01 holds 2 masks for 3 frames"):
        clip.masks()
    last = tmp_path / "masks" / "01" / "002.png"
    cv2.imwrite(str(last), np.zeros((5, 5), np.uint8))
    with pytest.raises(LabelError, match=r"002\.png is \(5, 5\)"):
        clip.masks()
    last.write_bytes(b"no picture")
    with pytest.raises(LabelError, match=r"002\.png is no image"):
        clip.masks()


def test_labels_without_clips_are_named(tmp_path: Path) -> None:
    _write_csv(tmp_path / "labels.csv", _01=[0])
    with pytest.raises(FootageError, match="no videos"):
        load_test_clips(tmp_path)
    _write_frames(tmp_path / "frames" / "02", 1)
    with pytest.raises(LabelError, match="nothing of clip 02"):
        load_test_clips(tmp_path)
