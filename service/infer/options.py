"""What a stream's configuration sets apart from its bundle, as the detector takes it."""

from __future__ import annotations

from collections.abc import Sequence

from model.frames import FrameShape
from model.observation import CameraOptions
from model.rules import UPDATE_RULES, UpdateRule
from model.zones import WatchedPart, watched_part
from service.messages import StreamConfig, Zone


def options_of(config: StreamConfig, memory_rule: str, shape: FrameShape | None) -> CameraOptions:
    """The options of a stream.

    Args:
        memory_rule: of a stream that names none.
        shape: of its model's frames; None while the model isn't known: zones wait for it.
    Raises: ValueError: they can't be.
    """
    return CameraOptions(
        config.gamma,
        config.appearance_weight,
        config.threshold,
        update=_rule(config.memory_rule or memory_rule),
        watched=None if shape is None else _watched(config.zones, shape),
    )


def _rule(name: str) -> UpdateRule:
    """Raises: ValueError: a newer front end knows a rule that this worker doesn't."""
    try:
        return UPDATE_RULES[name]
    except KeyError:
        known = ", ".join(UPDATE_RULES)
        raise ValueError(f"memory_rule must be one of {known}, got {name!r}") from None


def _watched(zones: Sequence[Zone], shape: FrameShape) -> WatchedPart | None:
    watch, ignore = (
        [zone.points for zone in zones if zone.kind == kind] for kind in ("watch", "ignore")
    )
    return watched_part(watch, ignore, shape.height, shape.width)
