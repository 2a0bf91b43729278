"""One pass of the network over test clips: one camera, a cut between each two clips.

The scene isn't watched: every frame has a measure, as in published figures, and a data set of
several cameras is no camera that was turned. scripts/study_light.py measures the watch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from model.detector import Detector
from model.evaluation.heat import HeatMaps
from model.footage import Clip
from model.observation import CameraOptions
from model.score import Measures

Rows = list[list[Measures | None]]
"""Measures of each frame of each clip; None before there were frames enough."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What a pass gave, before any score."""

    rows: Rows
    scored: int
    updated: int
    """Frames that updated the memory."""
    drift_deg: float
    """Angle between an item and the trained one that it was: of the farthest, at any frame."""
    starts: dict[str, bytes] = field(default_factory=dict)
    """The camera before the first frame of the clips that were asked for; see `replay`."""


def run(
    detector: Detector,
    clips: Sequence[Clip],
    options: CameraOptions | None = None,
    *,
    heat: HeatMaps | None = None,
    keep: frozenset[str] = frozenset(),
    on_frame: Callable[[], None] = lambda: None,
) -> Pass:
    """Show the clips to one camera, in order.

    Args:
        heat: takes each frame's heat map.
        keep: names of clips that are to be shown again from the same state.
    """
    chosen = [replace(options or CameraOptions(), watch_scene=False)]
    camera = detector.start()
    rows: Rows = []
    starts: dict[str, bytes] = {}
    updated, drift_deg = 0, 0.0
    for clip in clips:
        camera.cut()
        if clip.name in keep:
            starts[clip.name] = camera.save()
        if heat is not None:
            heat.begin_clip()
        rows.append([])
        for frame in clip.frames:
            seen = detector.observe([camera], [frame], chosen)[0]
            rows[-1].append(seen.measures)
            updated += seen.memory_updated
            drift_deg = max(drift_deg, seen.memory_drift_deg)
            if heat is not None:
                heat.add(seen.heat)
            on_frame()
    scored = sum(row is not None for clip_rows in rows for row in clip_rows)
    return Pass(rows, scored, updated, drift_deg, starts)
