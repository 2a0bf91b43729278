"""Errors and heat of cameras with zones: measured again from the pixels of what is watched.

The compiled network and its measures stay the same for all cameras, so a camera without zones pays
nothing for those that have some.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.engines.engine import EngineOutput, FrameStack, PixelOutputs
from model.engines.network_passes import COLUMNS, PooledCells
from model.engines.required_measures import RequiredMeasures
from model.scoring.prediction_error import pool_top
from model.scoring.score_config import ErrorKind, ErrorStep
from model.scoring.zones import ZoneMask


def select_pixels(parts: Sequence[ZoneMask | None]) -> NDArray[np.bool_] | None:
    """Find the cameras whose pixels `Engine.run` must return; None: no camera's."""
    chosen = np.array([part is not None for part in parts])
    return chosen if chosen.any() else None


def apply_zones(
    output: EngineOutput,
    frames: FrameStack,
    parts: Sequence[ZoneMask | None],
    required: RequiredMeasures,
) -> EngineOutput:
    """Replace errors and heat by those of what is watched. P, D and E_t stay those of whole frames.

    Pixels that aren't watched have no error before it is pooled, so that none leaks in by a blur;
    cells that don't count are left out of the largest, and have no heat.

    Args:
        output: of `Engine.run` with these frames, and with `select_pixels` of the parts.
        parts: one for each camera; None is the whole picture.
    """
    if output.pixels is None:
        return output
    watched = [part for part in parts if part is not None]
    places = [place for place, part in enumerate(parts) if part is not None]
    cells = _pool_watched(output.pixels, frames[places], watched)
    columns, heat = output.columns.copy(), output.heat.copy()
    for column, step in enumerate(required.errors, len(COLUMNS)):
        if step.kind is not ErrorKind.PSNR:
            pooled, counted = cells.pool(step), _stack_cells(watched, step)
            errors = pool_top(pooled, step.top_cells, counted.to(pooled.device))
            columns[places, column] = errors.cpu().numpy()
    watched_heat = cells.pool(required.heat).cpu() * _stack_cells(watched, required.heat)
    heat[places] = watched_heat.numpy()
    return replace(output, columns=columns, heat=heat)


def _pool_watched(
    pixels: PixelOutputs, frames: FrameStack, watched: Sequence[ZoneMask]
) -> PooledCells:
    predicted, judged = pixels.predicted, pixels.judged
    newest = torch.from_numpy(frames[:, -predicted.shape[1] :]).to(predicted.device)
    return PooledCells(
        predicted,
        newest.float() / 255.0,
        None if judged is None else judged[:, 0],
        torch.from_numpy(np.stack([part.pixels for part in watched])).to(predicted.device),
    )


def _stack_cells(watched: Sequence[ZoneMask], step: ErrorStep) -> Tensor:
    """Stack which cells count: (P, rows, columns), bool."""
    return torch.from_numpy(np.stack([part.find_cells(step) for part in watched]))
