"""When something stands still, and when it has become normal."""

from __future__ import annotations

from dataclasses import dataclass

DWELL_S = 60.0
"""Something new has to stand still for this long where a stream doesn't say otherwise."""
MOST_DWELL_S = 1200.0
"""The longest such time: what stands there becomes normal after `StandingRules.normal_s`."""


@dataclass(frozen=True, slots=True)
class StandingRules:
    """Times are in seconds of footage, differences in units of `model.standing.appearance`."""

    every_s: float = 0.5
    """The memory looks at a frame this often."""
    longest_step_s: float = 10.0
    """A longer time between two frames counts as this much: nobody knows what happened in it."""
    start_s: float = 60.0
    """What stands still in the first minute of a camera is normal."""
    settle_s: float = 20.0
    """So is what looks new in the first seconds of steady light, when the light has changed, ..."""
    light_share: float = 0.1
    """... if that is more than this share of the picture. Less may be a thing."""
    still_s: float = 2.0
    """A cell stands still once it has looked the same for this long."""
    normal_s: float = 1800.0
    """What has stood there for so long in all is normal."""
    same: float = 1.0
    """Appearances that differ by no more show the same thing."""
    other: float = 1.25
    """Only one that differs by this many times as much from all that are known is kept as new."""
    noise_units: float = 3.0
    """Nor do appearances that differ by no more than this many times the cell's noise."""
    noise_rate: float = 0.02
    """How far the estimate of the noise moves in a second, in units."""
    follow_s: float = 60.0
    """A known appearance follows slow changes with this time constant."""
    fade_s: float = 4.0
    """How long something has stood fades with this time constant once it is gone."""
    least_cells: int = 4
    """A thing covers at least so many connected cells."""
    most_share: float = 0.35
    """What looks new in a larger share of the picture is another light or scene, not a thing."""
