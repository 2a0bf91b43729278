"""Keeps the network's outputs for one camera's picture, so that a part of it can be computed alone
while the rest stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.engines.crops import Crop
from model.network.network_config import NetConfig
from model.scene.light import Light

Array = NDArray[np.float32]


class KeptOutputs:
    """The network's newest output for each place of one camera's picture.

    Engines write into these arrays.
    """

    def __init__(self, config: NetConfig) -> None:
        self.light = Light()
        """The light of the whole picture."""
        self.cell = config.downscale
        """Pixels from one query to the next."""
        size = (config.height, config.width)
        self.predicted: Array = np.zeros((1, config.channels, *size), np.float32)
        """One camera's output of `LiveNetwork`, as are the next two."""
        self.queries: Array = np.zeros((1, config.queries, config.memory_channels), np.float32)
        self.judged: Array | None = np.zeros((1, 1, *size), np.float32) if config.judges else None
        self._columns = config.width // config.downscale

    @property
    def arrays(self) -> tuple[Array, ...]:
        """All of them, in the order of the network's outputs."""
        given = self.predicted, self.queries
        return given if self.judged is None else (*given, self.judged)

    def replace(self, predicted: Array, queries: Array, judged: Array | None) -> None:
        """Replace all outputs by those of the whole picture."""
        self.predicted[:] = predicted
        self.queries[:] = queries
        if self.judged is not None and judged is not None:
            self.judged[:] = judged

    def paste(self, crop: Crop, predicted: Array, queries: Array, judged: Array | None) -> None:
        """Replace the outputs of a part of the picture, without its margin.

        Args: predicted, queries, judged: as above, of the size of the part.
        """
        rows, columns, cell = crop.rows, crop.columns, self.cell
        pixels = (..., rows.slice_used(cell), columns.slice_used(cell))
        given = (..., rows.slice_used_of_part(cell), columns.slice_used_of_part(cell))
        self.predicted[pixels] = predicted[given]
        if self.judged is not None and judged is not None:
            self.judged[pixels] = judged[given]
        kept = self.queries.reshape(-1, self._columns, self.queries.shape[-1])  # (h, w, C)
        found = queries.reshape(*crop.shape, -1)
        kept[rows.slice_used(), columns.slice_used()] = found[
            rows.slice_used_of_part(), columns.slice_used_of_part()
        ]


@dataclass(frozen=True, slots=True)
class PicturePart:
    """The part of one camera's picture that an engine computes, and where that is kept."""

    kept: KeptOutputs
    crop: Crop | None
    """None: the whole picture."""

    @property
    def share(self) -> float:
        """Its area, as a share of the picture's."""
        return 1.0 if self.crop is None else self.crop.share

    def cut(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Cut the part out of pictures, (..., H, W)."""
        if self.crop is None:
            return frames
        cell = self.kept.cell
        return frames[
            ..., self.crop.rows.slice_computed(cell), self.crop.columns.slice_computed(cell)
        ]
