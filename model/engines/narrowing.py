"""Errors and heat of the cameras of which only a part is watched, made anew from the pixels.

A compiled network and what it measures stay the same for all cameras: what has no zones pays
nothing, and gets what it always got.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.config import ErrorKind, ErrorStep
from model.engines.engine import EngineOutput, FrameStack, Shown
from model.engines.forms import COLUMNS, Cells, Wanted
from model.score import pool_top
from model.zones import WatchedPart


def zoned(parts: Sequence[WatchedPart | None]) -> NDArray[np.bool_] | None:
    """Of whom `Engine.run` must show the pixels."""
    chosen = np.array([part is not None for part in parts])
    return chosen if chosen.any() else None


def narrowed(
    output: EngineOutput,
    frames: FrameStack,
    parts: Sequence[WatchedPart | None],
    wanted: Wanted,
) -> EngineOutput:
    """The output with errors and heat of what is watched. P, D and E_t stay those of whole frames.

    Pixels that aren't watched have no error before it is pooled, so that none leaks in by a blur;
    cells that don't count are left out of the largest, and have no heat.

    Args:
        output: of `Engine.run` with these frames, and with `zoned` of the parts.
        parts: one for each camera; None is the whole picture.
    """
    if output.shown is None:
        return output
    watched = [part for part in parts if part is not None]
    places = [place for place, part in enumerate(parts) if part is not None]
    cells = _cells(output.shown, frames[places], watched)
    columns, heat = output.columns.copy(), output.heat.copy()
    for column, step in enumerate(wanted.errors, len(COLUMNS)):
        if step.form is not ErrorKind.PSNR:
            pooled, counted = cells.of(step), _counted(watched, step)
            errors = pool_top(pooled, step.top_cells, counted.to(pooled.device))
            columns[places, column] = errors.cpu().numpy()
    shown = cells.of(wanted.heat).cpu() * _counted(watched, wanted.heat)
    heat[places] = shown.numpy()
    return replace(output, columns=columns, heat=heat)


def _cells(shown: Shown, frames: FrameStack, watched: Sequence[WatchedPart]) -> Cells:
    predicted, judged = shown.predicted, shown.judged
    newest = torch.from_numpy(frames[:, -predicted.shape[1] :]).to(predicted.device)
    return Cells(
        predicted,
        newest.float() / 255.0,
        None if judged is None else judged[:, 0],
        torch.from_numpy(np.stack([part.pixels for part in watched])).to(predicted.device),
    )


def _counted(watched: Sequence[WatchedPart], step: ErrorStep) -> Tensor:
    """(P, rows, columns), bool."""
    return torch.from_numpy(np.stack([part.cells(step) for part in watched]))
