"""Zones of a stream: what of its picture counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from model.zones import area, watched_part

MOST_ZONES = 20
LEAST_AREA = 0.0001
"""Of the picture, that a zone's sides enclose: about 3x2 pixels of 256x256."""
LEAST_LEFT = 0.001
"""Of the picture, that must be watched: about one cell of 8x8 pixels of 256x256."""
SIDE = 256
"""Of the picture in pixels, where what is left is counted."""

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Point = Annotated[list[Share], Field(min_length=2, max_length=2)]
"""Shares of the width, from the left, and of the height, from the top."""


class ZoneIn(BaseModel):
    """A part of the picture, to be watched or to be ignored."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["watch", "ignore"]
    points: Annotated[list[Point], Field(min_length=3, max_length=50)] = Field(
        description="The corners of a polygon, one after the other, as shares of the picture's "
        "width (from the left) and height (from the top)."
    )

    @field_validator("points")
    @classmethod
    def _encloses(cls, points: list[list[float]]) -> list[list[float]]:
        found = area(polygon(points))
        if found < LEAST_AREA:
            raise ValueError(
                f"must enclose at least {LEAST_AREA:g} of the picture with sides that don't "
                f"cross, got {found:.2g}"
            )
        return points


class ZoneOut(BaseModel):
    """A part of the picture, watched or ignored."""

    kind: Literal["watch", "ignore"]
    points: list[list[float]]


def polygon(points: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Corners, as the model takes them."""
    return [(x, y) for x, y in points]


def _leave_something(zones: list[ZoneIn] | None) -> list[ZoneIn] | None:
    watch, ignore = (
        [polygon(zone.points) for zone in zones or () if zone.kind == kind]
        for kind in ("watch", "ignore")
    )
    reason = f"must leave at least {LEAST_LEFT:g} of the picture to be watched"
    try:
        part = watched_part(watch, ignore, SIDE, SIDE)
    except ValueError:
        raise ValueError(f"{reason}, got nothing") from None
    left = 1.0 if part is None else float(part.pixels.mean())
    if left < LEAST_LEFT:
        raise ValueError(f"{reason}, got {left:.2g}")
    return zones


Zones = Annotated[
    list[ZoneIn] | None,
    Field(
        max_length=MOST_ZONES,
        description="What of the picture counts for the score's error, the events' regions and "
        "the heat map: what lies in a zone to watch (anywhere, if there is none), and in none to "
        "ignore. Null or [] is the whole picture.",
    ),
    AfterValidator(_leave_something),
]


def stored(zones: Sequence[ZoneIn] | None) -> list[dict[str, object]] | None:
    """As a row keeps them."""
    return [zone.model_dump() for zone in zones] if zones else None
