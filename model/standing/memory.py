"""A camera's slow memory of how each place of its picture looks, and of what has stood there since.

Each cell keeps a few appearances: how long each has been there in all, and how long it has stood
there now. Where a cell has shown something for a while that isn't normal there, something new
stands still. Time is counted in seconds of footage. No torch here.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from model.scene.features import Features
from model.scene.light import Light
from model.scene.scene_phases import Cut, SceneReading
from model.standing.appearance import (
    CELLS,
    FEATURES,
    Appearance,
    describe_cells,
    measure_difference,
)
from model.standing.rules import StandingRules
from model.standing.things import Seconds, StandingThing, find_thing

SLOTS = 4
"""Appearances that a cell keeps."""
SHAPE = (CELLS, CELLS)

Cells = NDArray[np.bool_]


class StandingMemory:
    """The appearances of one camera's cells. One thread uses it."""

    def __init__(self, rules: StandingRules, period_s: float) -> None:
        """Args: period_s: from frame to frame, where frames come without times."""
        self.rules = rules
        self._period_s = period_s
        self._last_s: float | None = None
        """When the last frame was captured."""
        self._waited_s = 0.0
        """Time since a frame was looked at."""
        self._held: Appearance | None = None
        """What each cell has shown since it changed last; None: after a cut."""
        self._before: Appearance | None = None
        self._steady_s = np.zeros(SHAPE, np.float32)
        """How long each cell has shown `_held`."""
        self.forget()

    def forget(self) -> None:
        """Begin with another scene: nothing is known."""
        self.slots = np.zeros((SLOTS, FEATURES, *SHAPE), np.float32)
        self.seen_s = np.zeros((SLOTS, *SHAPE), np.float32)
        """How long each appearance has been there in all; 0: the slot is empty. What was normal
        from the start counts twice `normal_s`, and is never replaced by what was learned later."""
        self.stood_s = np.zeros((SLOTS, *SHAPE), np.float32)
        """How long each has stood there now, unless it is normal."""
        self.noise = np.zeros(SHAPE, np.float32)
        """Running quantile of the difference from one look to the next."""
        self._ages_s: Seconds = np.zeros(SHAPE, np.float32)
        """How long something new has stood in each cell, as of the last frame."""
        self.watched_s = 0.0
        """Time since the start."""
        self.settling_s = 0.0
        """Time for which what looks new may be the light's."""
        self._settles = False
        """So much looks new in that time that it is the light's."""
        self.cut()

    def cut(self) -> None:
        """Say that the next frame doesn't follow the last one: the time between doesn't count."""
        self._last_s = None
        self._waited_s = 0.0
        self._held = self._before = None
        self._steady_s = np.zeros(SHAPE, np.float32)

    @property
    def is_empty(self) -> bool:
        """True where no frame was ever looked at."""
        return not self.seen_s.any()

    def take_back(self) -> None:
        """Take back what has become normal since the start."""
        learned = self.seen_s == np.float32(self.rules.normal_s)
        self.seen_s[learned] = self.rules.every_s

    def accept_present(self) -> None:
        """Take for normal what stands there now, or will within `settle_s`."""
        self.cut()
        self._settles = True
        self.stood_s[:] = 0.0
        self._ages_s = np.zeros(SHAPE, np.float32)
        self.settling_s = self.rules.settle_s

    def add(
        self, features: Features, light: Light, reading: SceneReading | None, *, learns: bool
    ) -> None:
        """Add the camera's next frame.

        While the light changes, or the picture isn't the scene's, no time is counted.

        Args:
            light: undone in the frame.
            reading: what the frame is to its scene; None: its own, or not known.
            learns: new things come nearer to being normal. What is normal is followed in any case.
        """
        if reading is not None and not reading.phase.has_scores:
            self.cut()
            self.settling_s = self.rules.settle_s
            if reading.cut is Cut.ADOPTED:
                self.forget()
            return
        self._waited_s += self._measure_step(features.time_s)
        if self._held is not None and self._waited_s < self.rules.every_s - 0.01:
            return
        step_s, self._waited_s = self._waited_s, 0.0
        self._look(describe_cells(light.undo(features.thumb)), step_s, learns=learns)

    def find(self, dwell_s: float, watched: Cells | None = None) -> StandingThing | None:
        """Find what has stood for the longest time.

        Args: watched: (CELLS, CELLS), the cells that count; None: all.
        """
        if not self._ages_s.any():
            return None
        ages_s = self._ages_s
        if (ages_s >= self.rules.still_s).mean() > self.rules.most_share:
            return None
        if watched is not None:
            ages_s = np.where(watched, ages_s, np.float32(0.0))
        return find_thing(ages_s, dwell_s, self.rules)

    def _measure_step(self, time_s: float | None) -> float:
        last_s, self._last_s = self._last_s, time_s
        if time_s is None:
            return self._period_s
        if last_s is None:
            return 0.0
        return min(max(time_s - last_s, 0.0), self.rules.longest_step_s)

    def _look(self, now: Appearance, step_s: float, *, learns: bool) -> None:
        rules = self.rules
        self.watched_s += step_s
        self._learn_noise(now, step_s)
        limits = np.maximum(rules.same, rules.noise_units * self.noise)
        still = self._follow_held(now, step_s, limits)
        differences = measure_difference(self.slots, now)
        differences[self.seen_s == 0.0] = np.inf
        fits = differences <= limits
        normal = self.seen_s >= rules.normal_s
        present = _choose_present(differences, fits, normal)
        is_new = still & (differences.min(axis=0) > rules.other * limits)
        # What moves in front is never the same twice, and says nothing.
        same_again = self._steady_s > 0.0
        gone = ~present & same_again & (fits.any(axis=0) | is_new)
        self.stood_s[gone] *= math.exp(-step_s / rules.fade_s)
        self.stood_s[present & same_again] += step_s
        share = np.float32(min(step_s / rules.follow_s, 1.0))
        self.slots += (share * present)[:, None] * (now - self.slots)
        if learns:
            seen_s = np.minimum(self.seen_s + np.float32(step_s), np.float32(rules.normal_s))
            self.seen_s = np.where(present & ~normal, seen_s, self.seen_s)
        if is_new.any():
            self._keep_new(is_new)
        self._settle(still, step_s)
        normal = self.seen_s >= rules.normal_s
        self.stood_s[normal] = 0.0
        is_normal_now = (normal & fits).any(axis=0)
        self._ages_s = np.where(is_normal_now, np.float32(0.0), self.stood_s.max(axis=0))

    def _learn_noise(self, now: Appearance, step_s: float) -> None:
        """Follow the 60 % quantile of the differences: what passes now and then is no noise."""
        if self._before is not None:
            steps = measure_difference(now, self._before)
            rises = np.where(steps > self.noise, np.float32(0.6), np.float32(-0.4))
            rate = np.float32(self.rules.noise_rate * step_s)
            self.noise = np.maximum(self.noise + rate * rises, np.float32(0.0))
        self._before = now

    def _follow_held(self, now: Appearance, step_s: float, limits: Seconds) -> Cells:
        """Follow what each cell shows. Returns the cells that stand still."""
        if self._held is None:
            self._held = now.copy()
        changed = measure_difference(now, self._held) > limits
        share = np.where(changed, np.float32(1.0), np.float32(min(0.5 * step_s, 1.0)))
        self._held = self._held + share * (now - self._held)
        longer_s = self._steady_s + np.float32(step_s)
        self._steady_s = np.where(changed, np.float32(0.0), longer_s)
        return self._steady_s >= self.rules.still_s

    def _keep_new(self, is_new: Cells) -> None:
        """Keep what cells have held in the slots that were there for the shortest time."""
        if self._held is None:
            return
        rows, columns = np.nonzero(is_new)
        slots = self.seen_s[:, rows, columns].argmin(axis=0)
        self.slots[slots, :, rows, columns] = self._held[:, rows, columns].T
        self.seen_s[slots, rows, columns] = self._steady_s[rows, columns]
        self.stood_s[slots, rows, columns] = self._steady_s[rows, columns]

    def _settle(self, still: Cells, step_s: float) -> None:
        """Take for normal what stands still at the start, and what is new when the light was."""
        rules = self.rules
        if (self._ages_s >= rules.still_s).mean() > rules.most_share:
            self.settling_s = rules.settle_s
        is_start = self.watched_s <= rules.start_s
        if not is_start and self.settling_s <= 0.0:
            self._settles = False
            return
        self.settling_s = max(0.0, self.settling_s - step_s)
        longest_s = math.inf if is_start else rules.settle_s
        is_young = (self.stood_s > 0.0) & (self.stood_s <= longest_s) & still
        is_young &= self.seen_s < rules.normal_s
        self._settles |= is_start or is_young.any(axis=0).mean() > rules.light_share
        if self._settles:
            self.seen_s[is_young] = 2.0 * rules.normal_s


def _choose_present(
    differences: NDArray[np.float32], fits: NDArray[np.bool_], normal: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Choose the slot that each cell shows: the nearest that fits, a normal one first.

    All are (SLOTS, CELLS, CELLS); at most one of the result is set for each cell.
    """
    order = np.where(fits, differences, np.float32(np.inf))
    order = np.where(fits & normal, order - np.float32(1e3), order)
    nearest = order.argmin(axis=0)
    slots = np.arange(len(fits))[:, None, None]
    return np.asarray((slots == nearest) & fits.any(axis=0), np.bool_)
