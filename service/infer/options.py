"""Turns a stream's configuration into the options that the detector takes."""

from __future__ import annotations

from collections.abc import Sequence

from model.detect.observation import CameraOptions
from model.frames import FrameShape
from model.network.update_rules import UPDATE_RULES, UpdateRule
from model.scoring.zones import Polygon, ZoneMask, build_zone_mask
from model.standing.rules import DWELL_S
from model.standing.watch import StandingWatch, build_standing_watch
from service.messages import StreamConfig, Zone
from service.stream_choices import ZoneKind


def build_options(
    config: StreamConfig, memory_rule: str, shape: FrameShape | None
) -> CameraOptions:
    """Build the options of a stream.

    Args:
        memory_rule: the rule of a stream that names none.
        shape: the shape of its model's frames; None while the model isn't known: zones wait for it.
    Raises: ValueError: the configuration can't be used.
    """
    return CameraOptions(
        config.gamma,
        config.appearance_weight,
        config.threshold,
        update=_find_rule(config.memory_rule or memory_rule),
        watched=None if shape is None else _build_zone_mask(config.zones, shape),
        standing=_build_standing_watch(config),
    )


def _find_rule(name: str) -> UpdateRule:
    """Raises: ValueError: a newer front end knows a rule that this worker doesn't."""
    try:
        return UPDATE_RULES[name]
    except KeyError:
        known = ", ".join(UPDATE_RULES)
        raise ValueError(f"memory_rule must be one of {known}, got {name!r}") from None


def _build_zone_mask(zones: Sequence[Zone], shape: FrameShape) -> ZoneMask | None:
    watch, ignore = _list_polygons(zones, "watch"), _list_polygons(zones, "ignore")
    return build_zone_mask(watch, ignore, shape.height, shape.width)


def _build_standing_watch(config: StreamConfig) -> StandingWatch | None:
    """Build what is watched for standing things: the zones of that kind or, where there are none,
    what is watched at all. Either such a zone or a dwell time switches it on."""
    standing = _list_polygons(config.zones, "standing")
    if config.standing_s is None and not standing:
        return None
    dwell_s = DWELL_S if config.standing_s is None else config.standing_s
    watch = standing or _list_polygons(config.zones, "watch")
    return build_standing_watch(dwell_s, watch, _list_polygons(config.zones, "ignore"))


def _list_polygons(zones: Sequence[Zone], kind: ZoneKind) -> list[Polygon]:
    return [zone.points for zone in zones if zone.kind == kind]
