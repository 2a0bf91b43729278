"""Test clips of the common data sets, in the folders that their users have: frames, labels, masks.

UCSD Ped1 and Ped2, CUHK Avenue, ShanghaiTech as distributed, the re-encoded forms that papers'
code uses, and any footage beside a `labels.csv`. Each reader below shows its folders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from model.footage import Source, discover, frame_count, natural_key
from model.labels import LABELS, FrameLabels, LabelError, read_flags, read_labels, read_spans
from model.masks import (
    Reader,
    array_masks,
    frame_flags,
    image_masks,
    matlab_masks,
    no_masks,
    reader,
)


class Layout(StrEnum):
    """The data sets that `load` knows by name."""

    PED1 = "ped1"
    PED2 = "ped2"
    AVENUE = "avenue"
    SHANGHAITECH = "shanghaitech"
    PLAIN = "plain"
    """Clips beside labels.csv."""


FOLDERS = {
    Layout.PED1: ("UCSDped1", "ped1"),
    Layout.PED2: ("UCSDped2", "ped2"),
    Layout.AVENUE: ("Avenue Dataset", "Avenue", "avenue"),
    Layout.SHANGHAITECH: ("ShanghaiTech", "shanghaitech", "shanghai"),
}
"""A folder that holds several data sets has them under these names."""

_FRAME_FOLDERS = ("testing/frames", "frames", "testing")


@dataclass(frozen=True, slots=True)
class TestClip:
    """A test clip, which of its frames are abnormal, and where in them, if that is known."""

    source: Source
    abnormal: FrameLabels
    masks: Reader | None = None
    """Reads (T, rows, columns), True on abnormal pixels; None: there are none of this clip."""


@dataclass(frozen=True, slots=True)
class _Form:
    """One way in which test clips, labels and masks lie in a folder."""

    shown: str
    """What marks it, for a message."""
    find: Callable[[Path], Path | None]
    """What `read` takes, if the folder is of this form."""
    read: Callable[[Path], list[TestClip]]


def load(folder: Path, layout: str | None = None) -> list[TestClip]:
    """The test clips in or below a folder; the layout is recognised unless it is named.

    The folder is a data set's own, or one that holds it under its usual name (see FOLDERS).
    Raises: LabelError: no or several data sets are there, or labels are missing, malformed, or
        don't fit the footage. FootageError: clips are missing.
    """
    if layout is not None and layout not in list(Layout):
        raise LabelError(f"layout must be one of {', '.join(Layout)}, got {layout!r}")
    wanted = [Layout(layout)] if layout is not None else list(Layout)
    if not folder.is_dir():
        raise LabelError(f"no such folder: {folder}")
    forms = [form for form in _ORDER if any(form in _FORMS[name] for name in wanted)]
    read = _recognised(folder, forms)
    if read is None:
        below = {
            name: read
            for name in wanted
            for known in FOLDERS.get(name, ())
            if (read := _recognised(folder / known, _FORMS[name]))
        }
        if len(below) > 1:
            raise LabelError(f"{folder} holds {' and '.join(below)}: name one of them")
        read = next(iter(below.values()), None)
    if read is None:
        marks = "; ".join(form.shown for form in forms)
        raise LabelError(f"{folder} is no test set{_of(layout)}: it has none of {marks}")
    clips = read()
    for clip in clips:
        _check_length(clip)
    return clips


def _of(layout: str | None) -> str:
    return f" of layout {layout}" if layout else ""


def _recognised(folder: Path, forms: Iterable[_Form]) -> Callable[[], list[TestClip]] | None:
    for form in forms:
        found = form.find(folder) if folder.is_dir() else None
        if found is not None:
            return lambda: form.read(found)
    return None


def _check_length(clip: TestClip) -> None:
    location = clip.source.location
    # A video is decoded once, by whoever reads it, who then checks.
    if isinstance(location, Path) and location.is_dir():
        count = frame_count(clip.source)
        if count != len(clip.abnormal):
            raise LabelError(
                f"clip {clip.source.name} has {count} frames but {len(clip.abnormal)} labels"
            )


def _clip(source: Source, abnormal: FrameLabels, masks: Reader | None) -> TestClip:
    """Where nothing is abnormal, the masks need no file."""
    if masks is None and not abnormal.any():
        masks = no_masks(source, len(abnormal))
    return TestClip(source, abnormal, masks)


def _refuse_left(names: Iterable[str], labels: Path) -> None:
    """Figures over fewer clips than are labelled would be another data set's."""
    if left := sorted(names, key=natural_key):
        listed = ", ".join(left)
        raise LabelError(f"{labels} has labels of {listed}, but there are no frames of it")


def _first(folder: Path, names: Iterable[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).exists()), None)


def _find_plain(folder: Path) -> Path | None:
    return _first(folder, (LABELS, f"testing/{LABELS}"))


def _read_plain(path: Path) -> list[TestClip]:
    """`labels.csv`, beside it clips (or `frames/`), and perhaps `masks/NN/*.png`."""
    labels = read_labels(path)
    clips, left = [], set(labels)
    for source in discover([str(path.parent)]):
        name = source.name if source.name in labels else Path(source.name).stem
        if name not in labels:
            raise LabelError(f"{path} says nothing of clip {source.name}")
        masks = path.parent / "masks" / name
        read = reader(image_masks, masks, len(labels[name])) if masks.is_dir() else None
        clips.append(_clip(source, labels[name], read))
        left.discard(name)
    _refuse_left(left, path)
    return clips


def _find_ucsd(folder: Path) -> Path | None:
    tests = folder if folder.name == "Test" else folder / "Test"
    return tests if tests.is_dir() and any(tests.glob("Test[0-9]*")) else None


def _read_ucsd(tests: Path) -> list[TestClip]:
    """`Test/Test001/*.tif`, labels in `Test/UCSDped1.m`, else from the masks `Test001_gt/*.bmp`."""
    sources = [source for source in discover([str(tests)]) if not source.name.endswith("_gt")]
    script = next((file for file in sorted(tests.glob("*.m")) if read_spans(file)), None)
    spans = read_spans(script) if script else None
    named = {folder.name.removesuffix("_gt") for folder in tests.glob("Test[0-9]*_gt")}
    _refuse_left(named - {source.name for source in sources}, tests)
    if spans is not None and len(spans) != len(sources):
        raise LabelError(f"{script} has labels of {len(spans)} clips, {tests} has {len(sources)}")
    clips = []
    for index, source in enumerate(sources):
        folder, length = tests / f"{source.name}_gt", frame_count(source)
        read = reader(image_masks, folder, length) if folder.is_dir() else None
        if spans is not None:
            clips.append(TestClip(source, _flags(spans[index], length, f"{script}"), read))
        elif read is not None:
            clips.append(TestClip(source, frame_flags(read()), read))
        else:
            raise LabelError(f"no labels of clip {source.name}: neither {tests}/*.m nor {folder}")
    return clips


def _flags(spans: Iterable[tuple[int, int]], length: int, where: str) -> FrameLabels:
    flags = np.zeros(length, np.bool_)
    for start, stop in spans:
        if stop > length:
            raise LabelError(f"{where} labels frame {stop} of a clip of {length} frames")
        flags[start:stop] = True
    return flags


def _find_avenue(folder: Path) -> Path | None:
    name = "testing_label_mask"
    return _first(folder, (f"ground_truth_demo/{name}", f"testing/{name}", name))


def _read_avenue(masks: Path) -> list[TestClip]:
    """`testing_videos/01.avi` or frames in folders, and `testing_label_mask/1_label.mat`."""
    root = (
        masks.parent.parent
        if masks.parent.name in ("ground_truth_demo", "testing")
        else masks.parent
    )
    clips_at = _first(root, ("testing_videos", *_FRAME_FOLDERS))
    if clips_at is None:
        raise LabelError(f"no test clips in {root}: neither testing_videos nor testing/frames")
    clips, left = [], {file.name for file in masks.glob("*_label.mat")}
    for source in discover([str(clips_at)]):
        stem = Path(source.name).stem
        path = masks / f"{int(stem) if stem.isdecimal() else stem}_label.mat"
        found = matlab_masks(path)
        read = reader(matlab_masks, path, len(found))
        clips.append(TestClip(source, frame_flags(found), read))
        left.discard(path.name)
    _refuse_left(left, masks)
    return clips


def _find_shanghaitech(folder: Path) -> Path | None:
    return _first(folder, ("testing/test_frame_mask", "test_frame_mask"))


def _read_shanghaitech(labels: Path) -> list[TestClip]:
    """`testing/frames/01_0014/*.jpg`, `test_frame_mask/01_0014.npy`, `test_pixel_mask/` alike."""
    clips_at = _first(labels.parent, ("frames", "videos"))
    if clips_at is None:
        raise LabelError(f"no test clips in {labels.parent}: neither frames nor videos")
    clips, left = [], {file.name for file in labels.glob("*.npy")}
    for source in discover([str(clips_at)]):
        name = f"{Path(source.name).stem}.npy"
        abnormal, masks = read_flags(labels / name), labels.parent / "test_pixel_mask" / name
        read = reader(array_masks, masks, len(abnormal)) if masks.is_file() else None
        clips.append(_clip(source, abnormal, read))
        left.discard(name)
    _refuse_left(left, labels)
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
    """`frame_labels_ped2.npy`: 0 or 1 for the frames of all clips in a row, as MNAD's code has."""
    clips_at = _first(path.parent, _FRAME_FOLDERS) or path.parent
    sources = discover([str(clips_at)])
    flags, lengths = read_flags(path), [frame_count(source) for source in sources]
    if len(flags) != sum(lengths):
        raise LabelError(f"{path} labels {len(flags)} frames, the clips have {sum(lengths)}")
    parts = np.split(flags, np.cumsum(lengths)[:-1])
    return [TestClip(source, part) for source, part in zip(sources, parts, strict=True)]


_PLAIN = _Form(f"clips beside {LABELS}", _find_plain, _read_plain)
_UCSD = _Form("Test/Test001", _find_ucsd, _read_ucsd)
_AVENUE = _Form("ground_truth_demo/testing_label_mask", _find_avenue, _read_avenue)
_SHANGHAITECH = _Form("testing/test_frame_mask", _find_shanghaitech, _read_shanghaitech)
_ARRAY = _Form("frame_labels*.npy", _find_array, _read_array)

_ORDER = (_PLAIN, _UCSD, _AVENUE, _SHANGHAITECH, _ARRAY)
"""Masks tell more than an array of labels does."""

_FORMS = {
    Layout.PED1: (_PLAIN, _UCSD, _ARRAY),
    Layout.PED2: (_PLAIN, _UCSD, _ARRAY),
    Layout.AVENUE: (_PLAIN, _AVENUE, _ARRAY),
    Layout.SHANGHAITECH: (_PLAIN, _SHANGHAITECH, _ARRAY),
    Layout.PLAIN: (_PLAIN,),
}
