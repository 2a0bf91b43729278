"""Pixel masks of abnormal things, as data sets store them: read a clip at a time, when asked."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from model.footage import FootageError, Source, images, pictures
from model.labels import FrameLabels, LabelError, read_array

Masks = NDArray[np.bool_]
"""(T, rows, columns), True on abnormal pixels; of the size that the data set has them in."""

Reader = Callable[[], Masks]
"""Reads the masks of one clip. Raises: LabelError: they can't be read, or don't fit the clip."""

CELLS = "volLabel"
"""The cell array of masks in Avenue's label files."""


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

    Raises: LabelError: it can't be read, or holds something else.
    """
    try:
        cells = loadmat(str(path), variable_names=[CELLS])[CELLS].ravel()
    except NotImplementedError:
        raise LabelError(f"{path} is in MATLAB's 7.3 format: save it as version 7") from None
    except KeyError:
        raise LabelError(f"{path} holds no {CELLS}") from None
    except (OSError, ValueError, TypeError, EOFError, MatReadError, zlib.error) as error:
        raise LabelError(f"cannot read masks {path}: {error}") from None
    shapes = {np.shape(cell) for cell in cells}
    if cells.dtype != object or len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise LabelError(f"{CELLS} in {path} must be a cell array of masks of one size")
    masks = np.empty((len(cells), *next(iter(shapes))), np.bool_)
    for index, cell in enumerate(cells):
        masks[index] = cell > 0
    return masks


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
