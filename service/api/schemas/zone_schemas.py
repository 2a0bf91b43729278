"""Zones of a stream: which parts of its picture count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from model.scoring.zones import build_zone_mask, measure_area
from service.stream_choices import ZoneKind

MOST_ZONES = 20
LEAST_AREA = 0.0001
"""Share of the picture that a zone must enclose: about 3x2 pixels of 256x256."""
LEAST_LEFT = 0.001
"""Share of the picture that must be watched: about one cell of 8x8 pixels of 256x256."""
SIDE = 256
"""Width and height in pixels of the mask on which the watched share is counted."""

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Point = Annotated[list[Share], Field(min_length=2, max_length=2)]
"""Shares of the width, from the left, and of the height, from the top."""


class ZoneIn(BaseModel):
    """A part of the picture: to be watched, to be ignored, or to be watched for what stands
    still."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: ZoneKind
    points: Annotated[list[Point], Field(min_length=3, max_length=50)] = Field(
        description="The corners of a polygon, one after the other, as shares of the picture's "
        "width (from the left) and height (from the top)."
    )

    @field_validator("points")
    @classmethod
    def _check_area(cls, points: list[list[float]]) -> list[list[float]]:
        found = measure_area(make_polygon(points))
        if found < LEAST_AREA:
            raise ValueError(
                f"must enclose at least {LEAST_AREA:g} of the picture with sides that don't "
                f"cross, got {found:.2g}"
            )
        return points


class ZoneOut(BaseModel):
    """A part of the picture, and what it is for."""

    kind: ZoneKind
    points: list[list[float]]


def make_polygon(points: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Return the corners as the model takes them."""
    return [(x, y) for x, y in points]


def _check_watched_share(zones: list[ZoneIn] | None) -> list[ZoneIn] | None:
    watch, ignore = (
        [make_polygon(zone.points) for zone in zones or () if zone.kind == kind]
        for kind in ("watch", "ignore")
    )
    reason = f"must leave at least {LEAST_LEFT:g} of the picture to be watched"
    try:
        part = build_zone_mask(watch, ignore, SIDE, SIDE)
    except ValueError:
        raise ValueError(f"{reason}, got nothing") from None
    left = 1.0 if part is None else float(part.pixels.mean())
    if left < LEAST_LEFT:
        raise ValueError(f"{reason}, got {left:.2g}")
    standing = [make_polygon(zone.points) for zone in zones or () if zone.kind == "standing"]
    if standing:
        try:
            build_zone_mask(standing, ignore, SIDE, SIDE)
        except ValueError:
            raise ValueError(
                "the zones to ignore leave nothing of those of kind standing"
            ) from None
    return zones


Zones = Annotated[
    list[ZoneIn] | None,
    Field(
        max_length=MOST_ZONES,
        description="Which parts of the picture count for the score's error, events' regions and "
        "the heat map: what lies in a zone to watch (anywhere, if there is none), and in none to "
        "ignore. Null or [] is the whole picture. With zones of the kind `standing`, what stands "
        "still is watched for in these.",
    ),
    AfterValidator(_check_watched_share),
]
