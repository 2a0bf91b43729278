"""Runs a detector over test clips as one camera, with a cut before each clip.

The scene isn't watched: every frame is measured, as in published figures, and a data set of
several cameras must not count as a turned camera. scripts/studies/study_light.py measures
the watch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from model.detect.detector import Detector
from model.detect.observation import CameraOptions
from model.evaluation.heat_maps import HeatMaps
from model.footage.clips import Clip
from model.scoring.measures import Measures

Rows = list[list[Measures | None]]
"""The measures of each frame of each clip; None before there were enough frames."""


@dataclass(frozen=True, slots=True)
class CameraPass:
    """The result of a pass, before any score."""

    rows: Rows
    scored: int
    updated: int
    """The number of frames that updated the memory."""
    computed: float
    """The pictures that the network computed; one computed in part counts as its share."""
    drift_deg: float
    """The largest angle, at any frame, between a memory item and its trained value."""
    starts: dict[str, bytes] = field(default_factory=dict)
    """The camera's state before the requested clips; see `replay`."""


def run_pass(
    detector: Detector,
    clips: Sequence[Clip],
    options: CameraOptions | None = None,
    *,
    heat: HeatMaps | None = None,
    keep: frozenset[str] = frozenset(),
    on_frame: Callable[[], None] = lambda: None,
) -> CameraPass:
    """Run one camera over the clips, in order.

    Args:
        heat: receives each frame's heat map.
        keep: names of the clips before which the camera's state is saved.
    """
    chosen = [replace(options or CameraOptions(), watch_scene=False)]
    camera = detector.start()
    rows: Rows = []
    starts: dict[str, bytes] = {}
    updated, computed, drift_deg = 0, 0.0, 0.0
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
            computed += seen.computed
            drift_deg = max(drift_deg, seen.memory_drift_deg)
            if heat is not None:
                heat.add(seen.heat)
            on_frame()
    scored = sum(row is not None for clip_rows in rows for row in clip_rows)
    return CameraPass(rows, scored, updated, computed, drift_deg, starts)
