"""What a camera's scene lastingly shows: a slow mean of its edges, and of its picture in the light
that the network knows.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from model.scene.features import SIDE
from model.scene.light_changes import find_changed_cells
from model.scene.relighting import Reduced, Relighting, estimate_relighting
from model.scene.scene_features import (
    CELLS,
    Edges,
    Levels,
    average_cells,
    measure_share,
    multiply_edges,
)
from model.scene.scene_phases import ComparedFrame
from model.scene.scene_rules import SceneRules


class SceneReference:
    """What frames are compared with."""

    def __init__(self, rules: SceneRules) -> None:
        self._rules = rules
        self.edges: Edges = np.zeros((2, SIDE, SIDE), np.float32)
        self.picture: Reduced = np.zeros((SIDE, SIDE), np.float32)
        """Grey levels in the known light."""
        self.frames = 0
        """Frames that the edges were learned from."""
        self.picture_frames = 0
        """Frames that the picture was learned from."""

    @property
    def is_young(self) -> bool:
        """Too few frames were seen to compare others with them."""
        return self.frames < self._rules.young_frames

    @property
    def has_picture(self) -> bool:
        """The picture in the known light is known."""
        return self.picture_frames >= self._rules.young_frames

    def forget(self) -> None:
        """Learn another scene from the next frame on."""
        self.frames = self.picture_frames = 0

    def compare_edges(self, edges: Edges) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return the cells that show their lasting edges, and the cells that have any."""
        lasting = average_cells(multiply_edges(self.edges, self.edges))
        agreement = average_cells(multiply_edges(self.edges, edges))
        # A cosine: faint edges count as much as strong ones, and additional ones count against.
        norm = np.sqrt(lasting * average_cells(multiply_edges(edges, edges)))
        fits = np.asarray(agreement > self._rules.fit * norm, np.bool_)
        return fits, np.asarray(lasting > self._rules.textured**2, np.bool_)

    def measure_detail(self, edges: Edges) -> float:
        """Return the strength of a picture's edges as a share of the scene's."""
        return float(np.hypot(*edges).mean() / np.hypot(*self.edges).mean())

    def is_known_light(self, levels: Levels, share: float) -> bool:
        """Return whether this share of the cells have about the level of the known light."""
        known = average_cells(self.picture)
        mean = max(float(levels.mean()), float(known.mean()))
        rules = self._rules
        differs = find_changed_cells(levels, known, rules.alike, mean, rules.least_step)
        return measure_share(differs) <= 1.0 - share

    def find_relighting(self, picture: Reduced) -> Relighting | None:
        """Find what turns a picture into one of the known light; None: nothing is needed."""
        if not self.has_picture:
            return None
        if self.is_known_light(average_cells(picture), self._rules.alike_share):
            return None
        return estimate_relighting(picture, self.picture)

    def learn(self, frame: ComparedFrame, *, in_known_light: bool) -> None:
        """Follow a frame's edges slowly, and its levels where they are in the known light.

        Cells that don't fit are followed more slowly: what stands in front may leave again.
        """
        self.frames += 1
        gains = np.full((CELLS, CELLS), self._compute_gain(self.frames), np.float32)
        if self.frames > self._rules.young_frames:
            gains[~frame.fits] *= self._rules.misfit_gain
        weights = cv2.resize(gains, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
        self.edges += weights * (frame.features.edges - self.edges)
        if in_known_light:
            self.picture_frames += 1
            ratio = self._compute_gain(self.picture_frames) / self._compute_gain(self.frames)
            weights = np.minimum(weights * np.float32(ratio), 1.0)
            self.picture += weights * (
                frame.exposure.undo_levels(frame.features.grey) - self.picture
            )

    def _compute_gain(self, frames: int) -> float:
        return max(1.0 / frames, 1.0 / self._rules.reference_frames)
