"""Changes of the light, found in the levels of a scene's cells. Where the edges have stayed, the
light has changed; where they have gone, something has moved.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from model.scene.scene_features import Levels, measure_share
from model.scene.scene_phases import ComparedFrame, SceneChange
from model.scene.scene_rules import SceneRules

_NEW_SHARE = np.float32(0.1)
"""The newest frame's share of the running means."""


def find_changed_cells(
    levels: Levels, before: Levels, share: float, mean: float, least_step: float
) -> NDArray[np.bool_]:
    """Return the cells that have changed by more than this share of a mean level."""
    return np.asarray(np.abs(levels - before) > max(least_step, share * mean), bool)


def is_light_change(
    changed: NDArray[np.bool_],
    fits: NDArray[np.bool_],
    textured: NDArray[np.bool_],
    rules: SceneRules,
) -> bool:
    """Return whether enough cells have changed, and enough of those still show their edges.

    Args: fits: cells that show their edges. textured: cells that have any.
    """
    share = measure_share(changed)
    if share < rules.light_share:
        return False
    compared = changed & textured
    if np.count_nonzero(compared) < rules.least_textured:
        # There are no edges to compare. What covers a bare wall changes only a part of it.
        return share >= 0.9
    return measure_share(fits[compared]) >= rules.light_fit


def describe_change(verb: str, changed: NDArray[np.bool_], before: Levels, after: Levels) -> str:
    """Describe a change of the light in a phrase. Args: verb: what the light did."""
    return (
        f"the light {verb}: {100.0 * changed.mean():.0f}% of the picture, "
        f"mean {before.mean():.0f} → {after.mean():.0f}"
    )


class LevelHistory:
    """The levels of the last frames, and their running means."""

    def __init__(self, rules: SceneRules) -> None:
        self._rules = rules
        self._frames: deque[tuple[Levels, NDArray[np.bool_], float]] = deque(
            maxlen=max(lag for lag, _ in rules.steps)
        )
        """Levels, the cells that fit, and the mean level of each frame."""
        self.mean: Levels | None = None
        """Running mean of the levels, the exposure undone."""
        self._mean_as_seen: Levels | None = None
        """Running mean of the levels as they are."""

    def clear(self) -> None:
        """Forget the past: the next frame doesn't compare with it."""
        self._frames.clear()
        self.mean = self._mean_as_seen = None

    def append(self, frame: ComparedFrame) -> None:
        """Append the next frame."""
        self.mean = self.preview_mean(frame)
        self._mean_as_seen = self.preview_mean_as_seen(frame)
        self._frames.append((frame.levels, frame.fits, frame.mean))

    def repeat(self) -> None:
        """Append the last frame again."""
        if self._frames:
            self._frames.append(self._frames[-1])

    def preview_mean(self, frame: ComparedFrame) -> Levels:
        """Return the running mean as it would be with this frame."""
        return _follow(self.mean, frame.levels)

    def preview_mean_as_seen(self, frame: ComparedFrame) -> Levels:
        """Return the running mean as it would be with this frame, exposure included."""
        return _follow(self._mean_as_seen, frame.features.levels)

    def find_change(
        self, frame: ComparedFrame, textured: NDArray[np.bool_]
    ) -> tuple[SceneChange | None, bool]:
        """Find a change since one of the last frames, and say whether it was the very last."""
        rules = self._rules
        for lag, share in rules.steps:
            if len(self._frames) < lag:
                break
            levels, fits, mean = self._frames[-lag]
            changed = find_changed_cells(
                frame.levels, levels, share, max(frame.mean, mean), rules.least_step
            )
            # What comes out from behind something changes its level, too, but did not fit before.
            if is_light_change(changed, frame.fits & fits, textured, rules):
                reason = describe_change("changed", changed, levels, frame.levels)
                return SceneChange(reason), lag == 1
        return None, False


def _follow(mean: Levels | None, levels: Levels) -> Levels:
    return levels if mean is None else mean + _NEW_SHARE * (levels - mean)
