"""The prediction's error: of each pixel, of cells, and of the whole frame. Pure tensor functions.

Errors rise as frames become less normal, so P enters as -P. docs/scoring.md has the equations.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model.scoring import measures
from model.scoring.score_config import ErrorKind, ErrorStep


def error_map(
    kind: ErrorKind, predicted: Tensor, actual: Tensor, judged: Tensor | None = None
) -> Tensor:
    """Return each pixel's error, the mean over its channels: (B, C, H, W) to (B, H, W), in [0, 1].

    Args:
        kind: `SQUARED`, `JUDGED`, or any other for the absolute error.
        predicted: frames in [0, 1]. actual: same shape and range.
        judged: the network's judgement, (B, H, W) in [0, 1], where it gives one.
    Raises: ValueError: the judgement is asked for, and there is none.
    """
    if kind is ErrorKind.JUDGED:
        if judged is None:
            raise ValueError("a judged score needs a network that judges (NetConfig.judges)")
        return judged
    if kind is ErrorKind.SQUARED:
        return (predicted - actual).square().mean(dim=1)
    return measures.absolute_error(predicted, actual)


def pool_cells(error_map: Tensor, step: ErrorStep) -> Tensor:
    """Average the error over overlapping square cells, then smooth over neighbouring cells.

    Args:
        error_map: (B, H, W), >= 0.
    Returns: (B, rows, columns), rows = (H - cell) // stride + 1.
    Raises: ValueError: the map is smaller than a cell.
    """
    if min(error_map.shape[1:]) < step.cell:
        raise ValueError(
            f"cell of {step.cell} pixels is larger than the map {tuple(error_map.shape[1:])}"
        )
    cells = functional.avg_pool2d(error_map[:, None], step.cell, step.stride)
    if step.blur_cells > 0.0:
        cells = _blur(cells, step.blur_cells)
    return cells[:, 0]


def _blur(cells: Tensor, sigma: float) -> Tensor:
    """Blur (B, 1, h, w) with a Gaussian, edges repeated. One matrix mixes the rows and one the
    columns, which is several times as fast as a convolution of one channel."""
    down, across = (_blur_matrix(int(size), sigma, cells) for size in cells.shape[-2:])
    return down @ cells @ across.T


def _blur_matrix(size: int, sigma: float, like: Tensor) -> Tensor:
    if like.is_cuda:
        return _blur_matrix_on_gpu(size, sigma, like.device).to(like.dtype)
    return torch.from_numpy(_gaussian(size, sigma)).to(like.dtype)


@lru_cache(maxsize=64)
def _blur_matrix_on_gpu(size: int, sigma: float, device: torch.device) -> Tensor:
    # Cached, because nothing may be copied to a GPU while its graph is recorded.
    return torch.from_numpy(_gaussian(size, sigma)).to(device)


@lru_cache(maxsize=64)
def _gaussian(size: int, sigma: float) -> NDArray[np.float32]:
    """Return the blur as a (size, size) matrix whose rows sum to 1."""
    reach = math.ceil(3.0 * sigma)
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    matrix = np.zeros((size, size))
    for place in range(size):
        np.add.at(matrix[place], (place + offsets).clip(0, size - 1), kernel / kernel.sum())
    return matrix.astype(np.float32)


def pool_top(cells: Tensor, count: int, counted: Tensor | None = None) -> Tensor:
    """Average the `count` largest cells, or all of them if it is 0: (B, h, w) to (B,).

    Args:
        counted: (B, h, w), bool, at least one True a camera: the other cells are left out. If fewer
            than `count` cells are left, the mean is theirs.
    """
    flat = cells.flatten(1)
    if counted is None:
        if count == 0 or count >= flat.shape[1]:
            return flat.mean(dim=1)
        return flat.topk(count, dim=1).values.mean(dim=1)
    kept = counted.flatten(1)
    left = kept.sum(dim=1, keepdim=True)  # (B, 1)
    most = min(count, flat.shape[1]) or flat.shape[1]
    largest = flat.masked_fill(~kept, -math.inf).topk(most, dim=1).values
    taken = torch.arange(most, device=flat.device) < left  # (B, most)
    return largest.where(taken, 0.0).sum(dim=1) / left[:, 0].clamp(max=most)


def frame_error(
    step: ErrorStep, predicted: Tensor, actual: Tensor, judged: Tensor | None = None
) -> Tensor:
    """Reduce the prediction's error to one number a frame: (B, C, H, W) in [0, 1] to (B,).

    Raises: ValueError: shapes differ, the error isn't finite, or the judgement is missing.
    """
    if step.kind is ErrorKind.PSNR:
        return -measures.psnr(predicted, actual, step.peak)
    cells = pool_cells(error_map(step.kind, predicted, actual, judged), step)
    return measures.require_finite("error", pool_top(cells, step.top_cells))
