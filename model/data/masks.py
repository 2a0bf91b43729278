"""Reads pixel masks of abnormal things as data sets store them, one clip at a time, on demand."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from model.data.labels import FrameLabels, LabelError, read_array
from model.footage.footage_reader import FootageReader
from model.footage.footage_search import Source, list_images

Masks = NDArray[np.bool_]
"""(T, rows, columns), True on abnormal pixels, in the data set's own size."""

MaskReader = Callable[[], Masks]
"""Reads the masks of one clip. Raises: LabelError: they can't be read, or don't fit the clip."""

MASKS_VARIABLE = "volLabel"
"""The cell array of masks in Avenue's label files."""

MATLAB_LIMIT_S = 120.0
"""Avenue's longest clip takes a few seconds."""

_MATLAB_READER = Path(__file__).with_name("matlab_reader.py")


def read_image_masks(folder: Path) -> Masks:
    """Read a folder of images, one a frame; pixels above 0 are abnormal.

    Raises: LabelError: there is none, one is no image, or their sizes differ.
    """
    files = list_images(folder) if folder.is_dir() else []
    if not files:
        raise LabelError(f"no masks in {folder}")
    first = _read_image_mask(files[0])
    masks = np.empty((len(files), *first.shape), np.bool_)
    for index, file in enumerate(files):
        mask = _read_image_mask(file)
        if mask.shape != first.shape:
            raise LabelError(f"mask {file} is {mask.shape}, the one before it {first.shape}")
        masks[index] = mask
    return masks


def _read_image_mask(file: Path) -> Masks:
    picture = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise LabelError(f"mask {file} is no image")
    return np.asarray(picture > 0, np.bool_)


def read_matlab_masks(path: Path) -> Masks:
    """Read Avenue's `N_label.mat`: a cell array `volLabel`, one (rows, columns) mask a frame.

    A process of its own reads it, since SciPy's reader can crash on damaged files.
    Raises: LabelError: it can't be read, or holds something else.
    """
    command = [sys.executable, "-P", str(_MATLAB_READER), str(path), MASKS_VARIABLE]
    try:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=MATLAB_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        raise LabelError(f"cannot read masks {path}: not done after {MATLAB_LIMIT_S:g} s") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        crash = f"its reader crashed with signal {-done.returncode}: the file is damaged"
        reason = crash if done.returncode < 0 else lines[-1] if lines else "its reader failed"
        raise LabelError(f"cannot read masks {path}: {reason}")
    with np.load(BytesIO(done.stdout)) as read:
        shape = tuple(read["shape"])
        bits = np.unpackbits(read["bits"], count=int(np.prod(shape)))
    return np.asarray(bits.reshape(shape), np.bool_)


def read_array_masks(path: Path) -> Masks:
    """Read ShanghaiTech's `NN_NNNN.npy`, (T, rows, columns); values above 0 are abnormal.

    Raises: LabelError: it can't be read, or has another shape.
    """
    values = read_array(path)
    if values.ndim != 3:
        raise LabelError(f"{path} must hold (frames, rows, columns), got {values.shape}")
    return np.asarray(values > 0, np.bool_)


def make_reader(read: Callable[[Path], Masks], path: Path, frames: int) -> MaskReader:
    """Make a reader that checks that there is one mask a frame."""
    return partial(_read_checked, read, path, frames)


def _read_checked(read: Callable[[Path], Masks], path: Path, frames: int) -> Masks:
    masks = read(path)
    if len(masks) != frames:
        raise LabelError(f"{path} holds {len(masks)} masks for {frames} frames")
    return masks


def label_frames(masks: Masks) -> FrameLabels:
    """Label the frames that hold an abnormal pixel."""
    return np.asarray(masks.any(axis=(1, 2)), np.bool_)


def make_empty_reader(source: Source, frames: int) -> MaskReader:
    """Make a reader of masks without abnormal pixels, in the size of the clip's first picture."""
    return partial(_make_empty, source, frames)


def _make_empty(source: Source, frames: int) -> Masks:
    first = next(iter(FootageReader(source, limit=1)))
    return np.zeros((frames, *first.picture.size), np.bool_)
