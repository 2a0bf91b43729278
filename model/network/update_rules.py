"""Named rules by which a camera's memory learns from frames below γ. Torch-free: the front end
checks names with it; `model.network.memory_updates` carries the rules out.

The paper's rule is exact. The others are ours, for cameras that run for months: one accepted frame
of the paper's nearly replaces an item, so what lingers is soon normal (see docs/memory.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class Learning(StrEnum):
    """Decides which items a camera reads."""

    UPDATED = "updated"
    """They learn from the frames below γ."""
    HELD = "held"
    """They stay as they are now."""
    TRAINED = "trained"
    """They are the bundle's; what the camera learned before is dropped."""


@dataclass(frozen=True, slots=True)
class UpdateRule:
    """A rule by which a camera's items change. An update is the paper's step, shortened, pulled
    back and limited, in that order; the defaults leave the paper's step as it is, to the bit."""

    name: str = "paper"
    learning: Learning = Learning.UPDATED
    rate: float = 1.0
    """Share of the way from an item to where the paper's step takes it."""
    turn_deg: float = 180.0
    """The farthest that an item turns on the sphere in one frame."""
    pull: float = 0.0
    """Share of the way back to the trained item, after each update."""
    drift_deg: float = 180.0
    """The farthest that an item may ever be from the trained one."""
    rollback_frames: int = 0
    """Frames after which the trained items come back; 0 is never."""
    storm_frames: int = 0
    """Frames at or above γ in a row that bring the trained items back; 0 is never."""
    reference_maximum: bool = False
    """v is divided by its maximum over all k, as the reference implementation does, not U^m."""
    reads: bool = True
    """False gives every query the same answer, the mean of the items: the memory is off."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "learning", Learning(self.learning))
        _require(self.rate, "rate", 0.0 < self.rate <= 1.0, "above 0, at most 1")
        _require(self.pull, "pull", 0.0 <= self.pull <= 1.0, "from 0 to 1")
        for name in ("turn_deg", "drift_deg"):
            value = getattr(self, name)
            fits = math.isfinite(value) and 0.0 < value <= 180.0
            _require(value, name, fits, "above 0, at most 180 degrees")
        for name in ("rollback_frames", "storm_frames"):
            _require(getattr(self, name), name, getattr(self, name) >= 0, "0 or more frames")


def _require(value: float, name: str, condition: bool, expected: str) -> None:
    if not condition:
        raise ValueError(f"{name} must be {expected}, got {value!r}")


@dataclass(frozen=True, slots=True)
class MemoryCounts:
    """A camera's frames, counted since its items were last the trained ones."""

    frames: int = 0
    above: int = 0
    """Frames at or above γ since the last one below it."""

    def __post_init__(self) -> None:
        if self.frames < 0 or self.above < 0:
            raise ValueError(f"frame counts must be 0 or more, got {self.frames}, {self.above}")


def count_frame(
    before: MemoryCounts, rule: UpdateRule, *, is_below: bool
) -> tuple[MemoryCounts, bool]:
    """Count a frame that was below γ, or not.

    Returns: the new counts, and whether the trained items come back after this frame.
    """
    now = MemoryCounts(before.frames + 1, 0 if is_below else before.above + 1)
    due = rule.rollback_frames and now.frames >= rule.rollback_frames
    storm = rule.storm_frames and now.above >= rule.storm_frames
    return (MemoryCounts(), True) if due or storm else (now, False)


PAPER_UPDATE = UpdateRule()

UPDATE_RULES = {
    rule.name: rule
    for rule in (
        PAPER_UPDATE,
        UpdateRule("reference", reference_maximum=True),
        UpdateRule("bounded", rate=0.001, turn_deg=0.05),
        UpdateRule("pulled", rate=0.01, turn_deg=0.5, pull=0.01, drift_deg=10.0),
        UpdateRule("rollback", rollback_frames=3000, storm_frames=50),
        UpdateRule("held", Learning.HELD),
        UpdateRule("frozen", Learning.TRAINED),
        UpdateRule("off", Learning.TRAINED, reads=False),
    )
}
"""The rules by name; `docs/memory.md` says what each did to real footage."""

LIVE_UPDATE = UPDATE_RULES["pulled"]
"""The rule of the service's cameras unless a stream sets another; bundles are calibrated by it."""
