"""Pixel masks of abnormal things, as data sets store them: read a clip at a time, when asked."""

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

from model.footage import FootageError, Source, images, pictures
from model.labels import FrameLabels, LabelError, read_array

Masks = NDArray[np.bool_]
"""(T, rows, columns), True on abnormal pixels; of the size that the data set has them in."""

Reader = Callable[[], Masks]
"""Reads the masks of one clip. Raises: LabelError: they can't be read, or don't fit the clip."""

CELLS = "volLabel"
"""The cell array of masks in Avenue's label files."""

MATLAB_LIMIT_S = 120.0
"""Avenue's longest clip takes a few seconds."""

_MATLAB_READER = Path(__file__).with_name("matlab_reader.py")


def image_masks(folder: Path) -> Masks:
    """A folder of images, one a frame; pixels above 0 are abnormal.

    Raises: LabelError: there is none, one is no image, or their sizes differ.
    """
    files = images(folder) if folder.is_dir() else []
    if not files:
        raise LabelError(f"no masks in {folder}")
    first = _image_mask(files[0])
    masks = np.empty((len(files), *first.shape), np.bool_)
    for index, file in enumerate(files):
        mask = _image_mask(file)
        if mask.shape != first.shape:
            raise LabelError(f"mask {file} is {mask.shape}, the one before it {first.shape}")
        masks[index] = mask
    return masks


def _image_mask(file: Path) -> Masks:
    picture = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise LabelError(f"mask {file} is no image")
    return np.asarray(picture > 0, np.bool_)


def matlab_masks(path: Path) -> Masks:
    """Avenue's `N_label.mat`: a cell array `volLabel`, one (rows, columns) mask a frame.

    A process of its own reads it, since SciPy's reader can crash on damaged files.
    Raises: LabelError: it can't be read, or holds something else.
    """
    command = [sys.executable, "-P", str(_MATLAB_READER), str(path), CELLS]
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
        told = done.stderr.decode(errors="replace").strip().splitlines()
        crash = f"its reader crashed with signal {-done.returncode}: the file is damaged"
        reason = crash if done.returncode < 0 else told[-1] if told else "its reader failed"
        raise LabelError(f"cannot read masks {path}: {reason}")
    with np.load(BytesIO(done.stdout)) as read:
        shape = tuple(read["shape"])
        bits = np.unpackbits(read["bits"], count=int(np.prod(shape)))
    return np.asarray(bits.reshape(shape), np.bool_)


def array_masks(path: Path) -> Masks:
    """ShanghaiTech's `NN_NNNN.npy`, (T, rows, columns); values above 0 are abnormal.

    Raises: LabelError: it can't be read, or has another shape.
    """
    values = read_array(path)
    if values.ndim != 3:
        raise LabelError(f"{path} must hold (frames, rows, columns), got {values.shape}")
    return np.asarray(values > 0, np.bool_)


def reader(read: Callable[[Path], Masks], path: Path, frames: int) -> Reader:
    """Reads the masks there, when called, and checks that there is one a frame."""
    return partial(_checked, read, path, frames)


def _checked(read: Callable[[Path], Masks], path: Path, frames: int) -> Masks:
    masks = read(path)
    if len(masks) != frames:
        raise LabelError(f"{path} holds {len(masks)} masks for {frames} frames")
    return masks


def frame_flags(masks: Masks) -> FrameLabels:
    """Which frames hold an abnormal pixel."""
    return np.asarray(masks.any(axis=(1, 2)), np.bool_)


def no_masks(source: Source, frames: int) -> Reader:
    """Nothing abnormal in any frame, in the size of the clip's first picture."""
    return partial(_empty, source, frames)


def _empty(source: Source, frames: int) -> Masks:
    for _, picture in pictures(source):
        return np.zeros((frames, *picture.shape[:2]), np.bool_)
    raise FootageError(f"no picture in clip {source.name}")
