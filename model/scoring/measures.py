"""The measures of a frame: P, D, E_t and the absolute error. Pure functions, one value a camera.

Equations: MNAD (Park, Noh, Ham, CVPR 2020), section 3.4. Frames are in [0, 1] here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from model.scoring.score_config import NormForm, PsnrPeak

LEAST_MEAN_SQUARE = 1e-10
"""Floor of the error in P: two equal frames have a PSNR of 100 dB, not infinity."""

LEAST_PEAK = 1.0 / 255.0
"""Floor of max(I) in P: a black frame's peak is one grey level."""


@dataclass(frozen=True, slots=True)
class Measures:
    """The measures of one frame, before any normalisation."""

    psnr: float
    """P in dB."""
    distance: float
    """D."""
    gate_error: float
    """E_t."""
    errors: Mapping[str, float]
    """The prediction's errors, by `ErrorStep.key`; the error of kind `psnr` is -P."""


def require_finite(name: str, values: Tensor) -> Tensor:
    """Return the values. Raises: ValueError: one is NaN or infinite.

    While a GPU's graph is recorded, values can't be read: the engine checks them after a replay.
    """
    if values.is_cuda and torch.cuda.is_current_stream_capturing():
        return values
    if not bool(values.isfinite().all()):
        raise ValueError(f"{name} is not finite: the frames, queries or items hold NaN or infinity")
    return values


def _require_alike(what: str, one: Tensor, other: Tensor) -> None:
    if one.shape != other.shape:
        raise ValueError(
            f"{what}: both must have one shape, got {tuple(one.shape)} and {tuple(other.shape)}"
        )


def psnr(predicted: Tensor, actual: Tensor, peak: PsnrPeak = PsnrPeak.FRAME) -> Tensor:
    """Peak signal-to-noise ratio P, in dB (MNAD, eq. 9).

    P = 10 log10( peak / (||predicted - actual||^2 / N) ), N the number of values in the frame.

    Args:
        predicted: frames in [0, 1], shape (B, C, H, W), float.
        actual: same shape and range.
        peak: `FRAME` is max(actual) as in the paper, `UNIT` is 1 as in most code.
    Returns: shape (B,), at most 100 + 10 log10(peak).
    Raises: ValueError: shapes differ, or a value is not finite.
    """
    _require_alike("frames", predicted, actual)
    mean_square = (predicted - actual).square().mean(dim=(1, 2, 3)).clamp_min(LEAST_MEAN_SQUARE)
    top = actual.amax(dim=(1, 2, 3)).clamp_min(LEAST_PEAK) if peak is PsnrPeak.FRAME else 1.0
    return require_finite("psnr", 10.0 * torch.log10(top / mean_square))


def query_distance(queries: Tensor, nearest_items: Tensor, form: NormForm) -> Tensor:
    """Mean distance D of the queries to their nearest items (MNAD, eq. 10).

    D = 1/K sum_k ||q^k - p_p||, the norm as a mean of squares over channels or as it is written.

    Args:
        queries: (B, K, C). nearest_items: the item nearest to each query, (B, K, C).
    Returns: shape (B,), >= 0.
    Raises: ValueError: shapes differ, or a value is not finite.
    """
    _require_alike("queries", queries, nearest_items)
    return require_finite("distance", norm(queries - nearest_items, form, dim=2).mean(dim=1))


def norm(difference: Tensor, form: NormForm, dim: int) -> Tensor:
    """||difference|| along a dimension: the Euclidean norm, or the mean of squares."""
    if form is NormForm.NORM:
        distance: Tensor = torch.linalg.vector_norm(difference, dim=dim)
        return distance
    return difference.square().mean(dim=dim)


def gate_error(predicted: Tensor, actual: Tensor, form: NormForm) -> Tensor:
    """Error E_t that decides whether a frame may update the memory (MNAD, eq. 8).

    E_t = sum_ij W_ij e_ij, e_ij = ||predicted^ij - actual^ij|| over the channels of a pixel,
    W_ij = (1 - exp(-e_ij)) / sum_ij (1 - exp(-e_ij)): large errors weigh more than small ones.

    Args:
        predicted: frames in [0, 1], shape (B, C, H, W), float.
        actual: same shape and range.
        form: how the norm is computed; γ is on the same scale. `ELEMENT_SQUARE` also sums over the
            channels: each value has its own weight and error.
    Returns: shape (B,), >= 0; 0 where the two are equal.
    Raises: ValueError: shapes differ, or a value is not finite.
    """
    _require_alike("frames", predicted, actual)
    difference = predicted - actual
    if form is NormForm.ELEMENT_SQUARE:
        error = difference.square().flatten(1)  # (B, C*H*W)
    else:
        error = norm(difference, form, dim=1).flatten(1)  # (B, H*W)
    weight = -torch.expm1(-error)
    total = weight.sum(dim=1)
    mean = (weight * error).sum(dim=1) / total.clamp_min(torch.finfo(error.dtype).tiny)
    return require_finite("gate_error", mean)


def absolute_error(predicted: Tensor, actual: Tensor) -> Tensor:
    """Mean absolute error of each pixel over its channels: (B, C, H, W) to (B, H, W), in [0, 1]."""
    _require_alike("frames", predicted, actual)
    return (predicted - actual).abs().mean(dim=1)
