"""Loads test clips (frames, labels, masks) of the common data sets from their usual folders.

These are UCSD Ped1 and Ped2, CUHK Avenue, ShanghaiTech as distributed, the re-encoded forms that
papers' code uses, and any footage next to a `labels.csv`. Each reader below names its folders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from model.data.labels import LABELS, FrameLabels, LabelError, read_flags, read_labels, read_spans
from model.data.masks import (
    MaskReader,
    label_frames,
    make_empty_reader,
    make_reader,
    read_array_masks,
    read_image_masks,
    read_matlab_masks,
)
from model.footage.footage_reader import FootageReader
from model.footage.footage_search import Source, find_footage, list_images, natural_key


class Layout(StrEnum):
    """The data sets that `load_test_clips` knows by name."""

    PED1 = "ped1"
    PED2 = "ped2"
    AVENUE = "avenue"
    SHANGHAITECH = "shanghaitech"
    PLAIN = "plain"
    """Clips next to labels.csv."""


FOLDERS = {
    Layout.PED1: ("UCSDped1", "ped1"),
    Layout.PED2: ("UCSDped2", "ped2"),
    Layout.AVENUE: ("Avenue Dataset", "Avenue", "avenue"),
    Layout.SHANGHAITECH: ("ShanghaiTech", "shanghaitech", "shanghai"),
}
"""The names of the data sets in a folder that holds several of them."""

_FRAME_FOLDERS = ("testing/frames", "frames", "testing")


@dataclass(frozen=True, slots=True)
class TestClip:
    """A test clip, its abnormal frames, and where they are abnormal, if that is known."""

    source: Source
    abnormal: FrameLabels
    masks: MaskReader | None = None
    """Reads (T, rows, columns), True on abnormal pixels; None if the clip has no masks."""


@dataclass(frozen=True, slots=True)
class _Form:
    """One layout of test clips, labels and masks in a folder."""

    mark: str
    """The file or folder by which it is recognised, for a message."""
    find: Callable[[Path], Path | None]
    """Returns the path that `read` takes, if the folder has this form."""
    read: Callable[[Path], list[TestClip]]


def load_test_clips(folder: Path, layout: str | None = None) -> list[TestClip]:
    """Load the test clips in or below a folder; the layout is recognised unless it is named.

    The folder is a data set's own, or holds it under its usual name (see FOLDERS).
    Raises: LabelError: no or several data sets are there, or labels are missing, malformed, or
        don't fit the footage. FootageError: clips are missing.
    """
    if layout is not None and layout not in list(Layout):
        raise LabelError(f"layout must be one of {', '.join(Layout)}, got {layout!r}")
    layouts = [Layout(layout)] if layout is not None else list(Layout)
    if not folder.is_dir():
        raise LabelError(f"no such folder: {folder}")
    forms = [form for form in _ORDER if any(form in _FORMS[name] for name in layouts)]
    read = _recognise(folder, forms)
    if read is None:
        below = {
            name: read
            for name in layouts
            for known in FOLDERS.get(name, ())
            if (read := _recognise(folder / known, _FORMS[name]))
        }
        if len(below) > 1:
            raise LabelError(f"{folder} holds {' and '.join(below)}: name one of them")
        read = next(iter(below.values()), None)
    if read is None:
        marks = "; ".join(form.mark for form in forms)
        raise LabelError(f"{folder} is no test set{_of_layout(layout)}: it has none of {marks}")
    clips = read()
    for clip in clips:
        _check_length(clip)
    return clips


def _of_layout(layout: str | None) -> str:
    return f" of layout {layout}" if layout else ""


def _recognise(folder: Path, forms: Iterable[_Form]) -> Callable[[], list[TestClip]] | None:
    for form in forms:
        found = form.find(folder) if folder.is_dir() else None
        if found is not None:
            return lambda: form.read(found)
    return None


def _check_length(clip: TestClip) -> None:
    # A video is decoded only once, by the caller, who then checks its length.
    if clip.source.is_images:
        count = _count_frames(clip.source)
        if count != len(clip.abnormal):
            raise LabelError(
                f"clip {clip.source.name} has {count} frames but {len(clip.abnormal)} labels"
            )


def _find_clips(folder: Path) -> list[Source]:
    """Find the clips of a test set. Deeper folders hold masks or other things."""
    return find_footage([str(folder)], recursive=False).sources


def _count_frames(source: Source) -> int:
    """Count frames. A video is decoded, as many declare no number of frames, or a wrong one."""
    if source.is_images and isinstance(source.location, Path):
        return len(list_images(source.location))
    return sum(1 for _ in FootageReader(source))


def _make_clip(source: Source, abnormal: FrameLabels, masks: MaskReader | None) -> TestClip:
    """Make a test clip; if nothing is abnormal, its masks need no file."""
    if masks is None and not abnormal.any():
        masks = make_empty_reader(source, len(abnormal))
    return TestClip(source, abnormal, masks)


def _refuse_unused_labels(names: Iterable[str], labels: Path) -> None:
    """Refuse labels without footage: figures over fewer clips aren't those of the data set."""
    if left := sorted(names, key=natural_key):
        listed = ", ".join(left)
        raise LabelError(f"{labels} has labels of {listed}, but there are no frames of it")


def _find_first(folder: Path, names: Iterable[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).exists()), None)


def _find_plain(folder: Path) -> Path | None:
    return _find_first(folder, (LABELS, f"testing/{LABELS}"))


def _read_plain(path: Path) -> list[TestClip]:
    """Read `labels.csv` with clips (or `frames/`) next to it, and perhaps `masks/NN/*.png`."""
    labels = read_labels(path)
    clips, left = [], set(labels)
    for source in _find_clips(path.parent):
        name = source.name if source.name in labels else Path(source.name).stem
        if name not in labels:
            raise LabelError(f"{path} says nothing of clip {source.name}")
        masks = path.parent / "masks" / name
        read = make_reader(read_image_masks, masks, len(labels[name])) if masks.is_dir() else None
        clips.append(_make_clip(source, labels[name], read))
        left.discard(name)
    _refuse_unused_labels(left, path)
    return clips


def _find_ucsd(folder: Path) -> Path | None:
    tests = folder if folder.name == "Test" else folder / "Test"
    return tests if tests.is_dir() and any(tests.glob("Test[0-9]*")) else None


def _read_ucsd(tests: Path) -> list[TestClip]:
    """Read `Test/Test001/*.tif` with labels in `Test/UCSDped1.m`, or masks `Test001_gt/*.bmp`."""
    sources = [source for source in _find_clips(tests) if not source.name.endswith("_gt")]
    script = next((file for file in sorted(tests.glob("*.m")) if read_spans(file)), None)
    spans = read_spans(script) if script else None
    named = {folder.name.removesuffix("_gt") for folder in tests.glob("Test[0-9]*_gt")}
    _refuse_unused_labels(named - {source.name for source in sources}, tests)
    if spans is not None and len(spans) != len(sources):
        raise LabelError(f"{script} has labels of {len(spans)} clips, {tests} has {len(sources)}")
    clips = []
    for index, source in enumerate(sources):
        folder, length = tests / f"{source.name}_gt", _count_frames(source)
        read = make_reader(read_image_masks, folder, length) if folder.is_dir() else None
        if spans is not None:
            clips.append(TestClip(source, _make_flags(spans[index], length, f"{script}"), read))
        elif read is not None:
            clips.append(TestClip(source, label_frames(read()), read))
        else:
            raise LabelError(f"no labels of clip {source.name}: neither {tests}/*.m nor {folder}")
    return clips


def _make_flags(spans: Iterable[tuple[int, int]], length: int, where: str) -> FrameLabels:
    flags = np.zeros(length, np.bool_)
    for start, stop in spans:
        if stop > length:
            raise LabelError(f"{where} labels frame {stop} of a clip of {length} frames")
        flags[start:stop] = True
    return flags


def _find_avenue(folder: Path) -> Path | None:
    name = "testing_label_mask"
    return _find_first(folder, (f"ground_truth_demo/{name}", f"testing/{name}", name))


def _read_avenue(masks: Path) -> list[TestClip]:
    """Read `testing_videos/01.avi` or frames in folders, and `testing_label_mask/1_label.mat`."""
    root = (
        masks.parent.parent
        if masks.parent.name in ("ground_truth_demo", "testing")
        else masks.parent
    )
    clips_at = _find_first(root, ("testing_videos", *_FRAME_FOLDERS))
    if clips_at is None:
        raise LabelError(f"no test clips in {root}: neither testing_videos nor testing/frames")
    clips, left = [], {file.name for file in masks.glob("*_label.mat")}
    for source in _find_clips(clips_at):
        stem = Path(source.name).stem
        path = masks / f"{int(stem) if stem.isdecimal() else stem}_label.mat"
        found = read_matlab_masks(path)
        read = make_reader(read_matlab_masks, path, len(found))
        clips.append(TestClip(source, label_frames(found), read))
        left.discard(path.name)
    _refuse_unused_labels(left, masks)
    return clips


def _find_shanghaitech(folder: Path) -> Path | None:
    return _find_first(folder, ("testing/test_frame_mask", "test_frame_mask"))


def _read_shanghaitech(labels: Path) -> list[TestClip]:
    """Read `testing/frames/01_0014/*.jpg`, `test_frame_mask/01_0014.npy`, `test_pixel_mask/`."""
    clips_at = _find_first(labels.parent, ("frames", "videos"))
    if clips_at is None:
        raise LabelError(f"no test clips in {labels.parent}: neither frames nor videos")
    clips, left = [], {file.name for file in labels.glob("*.npy")}
    for source in _find_clips(clips_at):
        name = f"{Path(source.name).stem}.npy"
        abnormal, masks = read_flags(labels / name), labels.parent / "test_pixel_mask" / name
        read = make_reader(read_array_masks, masks, len(abnormal)) if masks.is_file() else None
        clips.append(_make_clip(source, abnormal, read))
        left.discard(name)
    _refuse_unused_labels(left, labels)
    return clips


def _find_array(folder: Path) -> Path | None:
    for place in (folder, folder / "testing"):
        found = sorted(place.glob("frame_labels*.npy"))
        if len(found) > 1:
            raise LabelError(f"several label files in {place}: {found[0].name}, {found[1].name}")
        if found:
            return found[0]
    return None


def _read_array(path: Path) -> list[TestClip]:
    """Read `frame_labels_ped2.npy`: 0 or 1 for the frames of all clips in a row, as MNAD's code."""
    clips_at = _find_first(path.parent, _FRAME_FOLDERS) or path.parent
    sources = _find_clips(clips_at)
    flags, lengths = read_flags(path), [_count_frames(source) for source in sources]
    if len(flags) != sum(lengths):
        raise LabelError(f"{path} labels {len(flags)} frames, the clips have {sum(lengths)}")
    parts = np.split(flags, np.cumsum(lengths)[:-1])
    return [TestClip(source, part) for source, part in zip(sources, parts, strict=True)]


_PLAIN = _Form(f"clips next to {LABELS}", _find_plain, _read_plain)
_UCSD = _Form("Test/Test001", _find_ucsd, _read_ucsd)
_AVENUE = _Form("ground_truth_demo/testing_label_mask", _find_avenue, _read_avenue)
_SHANGHAITECH = _Form("testing/test_frame_mask", _find_shanghaitech, _read_shanghaitech)
_ARRAY = _Form("frame_labels*.npy", _find_array, _read_array)

_ORDER = (_PLAIN, _UCSD, _AVENUE, _SHANGHAITECH, _ARRAY)
"""Masks come first: they say more than an array of labels."""

_FORMS = {
    Layout.PED1: (_PLAIN, _UCSD, _ARRAY),
    Layout.PED2: (_PLAIN, _UCSD, _ARRAY),
    Layout.AVENUE: (_PLAIN, _AVENUE, _ARRAY),
    Layout.SHANGHAITECH: (_PLAIN, _SHANGHAITECH, _ARRAY),
    Layout.PLAIN: (_PLAIN,),
}
