"""Draws what moves in the scene, from the side: people on foot, a cyclist, a delivery van."""

from __future__ import annotations

import math
from dataclasses import dataclass

from service.tools.demo.brush import Brush, Colour, Point

TYRE: Colour = (34, 32, 30)
METAL: Colour = (120, 118, 116)
GLASS: Colour = (120, 98, 76)


@dataclass(frozen=True, slots=True)
class Clothes:
    """A person's clothes, colours and height."""

    coat: Colour
    trousers: Colour
    hair: Colour
    skin: Colour
    height: float
    """Metres."""


@dataclass(frozen=True, slots=True)
class Gait:
    """How a person moves on foot. Angles are in radians."""

    swing: float
    """How far a leg swings to each side."""
    knee: float
    """How far a knee bends as its leg comes forward."""
    elbow: float
    lean: float
    stride: float
    """Metres that a full cycle, two steps, covers."""


WALK = Gait(swing=0.42, knee=0.65, elbow=0.25, lean=0.03, stride=1.45)
RUN = Gait(swing=0.85, knee=1.6, elbow=1.5, lean=0.22, stride=2.6)


def _hang_limb(start: Point, length: float, angle: float) -> Point:
    """Return the end of a limb that hangs from a joint, swung forward by an angle."""
    return start[0] + length * math.sin(angle), start[1] - length * math.cos(angle)


def _darken(colour: Colour, share: float = 0.75) -> Colour:
    blue, green, red = colour
    return blue * share, green * share, red * share


def draw_person(brush: Brush, clothes: Clothes, gait: Gait, travelled: float) -> None:
    """Draw a person on foot; `travelled` metres decide where the legs are."""
    size = clothes.height / 1.75
    phase = 2.0 * math.pi * travelled / (gait.stride * size)
    bob = 0.03 * size * math.cos(2.0 * phase)
    hip = (0.0, 0.90 * size + bob)
    neck = (0.56 * size * math.sin(gait.lean), hip[1] + 0.56 * size)
    brush.cast_shadow(-0.12, 0.45 * size, 0.10)
    # The far limbs first, in shade.
    _draw_arm(brush, neck, -phase, size, gait=gait, colour=_darken(clothes.coat))
    _draw_leg(brush, hip, phase + math.pi, size, gait=gait, colour=_darken(clothes.trousers))
    _draw_leg(brush, hip, phase, size, gait=gait, colour=clothes.trousers)
    brush.draw_line([hip, (neck[0], neck[1] - 0.10 * size)], 0.30 * size, clothes.coat)
    brush.draw_line([neck, (neck[0], neck[1] - 0.12 * size)], 0.24 * size, clothes.coat)
    _draw_arm(brush, neck, -phase + math.pi, size, gait=gait, colour=_darken(clothes.coat, 0.88))
    _draw_head(brush, neck, size, clothes)


def _draw_head(brush: Brush, neck: Point, size: float, clothes: Clothes) -> None:
    centre = (neck[0] + 0.03 * size, neck[1] + 0.19 * size)
    brush.fill_disc((centre[0] - 0.02 * size, centre[1] + 0.02 * size), 0.125 * size, clothes.hair)
    brush.fill_disc((centre[0] + 0.03 * size, centre[1] - 0.02 * size), 0.095 * size, clothes.skin)


def _draw_leg(
    brush: Brush, hip: Point, phase: float, size: float, *, gait: Gait, colour: Colour
) -> None:
    thigh = gait.swing * math.sin(phase)
    # A leg bends while it comes forward.
    bend = gait.knee * max(0.0, math.cos(phase)) ** 2
    knee = _hang_limb(hip, 0.45 * size, thigh)
    ankle = _hang_limb(knee, 0.42 * size, thigh - bend)
    brush.draw_line([hip, knee], 0.17 * size, colour)
    brush.draw_line([knee, ankle], 0.13 * size, colour)
    brush.draw_line([ankle, (ankle[0] + 0.13 * size, ankle[1] - 0.01)], 0.09 * size, TYRE)


def _draw_arm(
    brush: Brush, neck: Point, phase: float, size: float, *, gait: Gait, colour: Colour
) -> None:
    shoulder = (neck[0], neck[1] - 0.08 * size)
    swing = 0.8 * gait.swing * math.sin(phase)
    elbow = _hang_limb(shoulder, 0.30 * size, swing)
    hand = _hang_limb(elbow, 0.28 * size, swing + gait.elbow)
    brush.draw_line([shoulder, elbow, hand], 0.10 * size, colour)


def draw_cyclist(brush: Brush, clothes: Clothes, travelled: float) -> None:
    """Draw a person on a bicycle; the origin is below the saddle."""
    rear, front, crank = (-0.48, 0.34), (0.56, 0.34), (-0.02, 0.30)
    saddle, bars = (-0.18, 0.95), (0.42, 1.02)
    brush.cast_shadow(0.0, 1.0, 0.12)
    for hub in (rear, front):
        _draw_wheel(brush, hub, 0.34, travelled)
    turn = travelled / 0.75
    feet = [
        (crank[0] + 0.16 * math.cos(a), crank[1] - 0.16 * math.sin(a))
        for a in (turn + math.pi, turn)
    ]
    hip, neck = (-0.18, 1.02), (0.16, 1.52)
    brush.draw_line([hip, _place_knee(hip, feet[0]), feet[0]], 0.13, _darken(clothes.trousers))
    frame = [rear, crank, (0.36, 0.86), (-0.14, 0.80), rear]
    brush.draw_line(frame, 0.06, clothes.coat)
    brush.draw_line([crank, saddle], 0.06, clothes.coat)
    brush.draw_line([front, (0.36, 0.86), bars], 0.06, METAL)
    brush.draw_line([hip, _place_knee(hip, feet[1]), feet[1]], 0.15, clothes.trousers)
    brush.draw_line([hip, neck], 0.30, clothes.coat)
    brush.draw_line(
        [(neck[0], neck[1] - 0.06), (0.34, 1.18), bars], 0.10, _darken(clothes.coat, 0.85)
    )
    _draw_head(brush, (neck[0] + 0.05, neck[1] - 0.02), 1.0, clothes)


def _draw_wheel(brush: Brush, hub: Point, radius: float, travelled: float) -> None:
    rim = [
        (hub[0] + radius * math.cos(a), hub[1] + radius * math.sin(a))
        for a in (2.0 * math.pi * step / 20 for step in range(21))
    ]
    brush.draw_line(rim, 0.05, TYRE)
    for spoke in range(3):
        angle = -travelled / radius + spoke * math.pi / 3
        reach = (radius * math.cos(angle), radius * math.sin(angle))
        brush.draw_line(
            [(hub[0] - reach[0], hub[1] - reach[1]), (hub[0] + reach[0], hub[1] + reach[1])],
            0.02,
            METAL,
        )


def _place_knee(hip: Point, foot: Point) -> Point:
    """Return the knee's place between hip and pedal: ahead of the line between them."""
    along = (foot[0] - hip[0], foot[1] - hip[1])
    length = math.hypot(*along)
    out = math.sqrt(max(0.0, 0.44**2 - (length / 2) ** 2))
    middle = (hip[0] + along[0] / 2, hip[1] + along[1] / 2)
    return middle[0] - along[1] / length * out, middle[1] + along[0] / length * out


def draw_van(brush: Brush, paint: Colour, travelled: float) -> None:
    """Draw a delivery van, 3.8 m long; the origin is at its middle."""
    brush.cast_shadow(0.0, 2.1, 0.30)
    body = [(-1.9, 0.38), (-1.9, 1.92), (-1.75, 2.0), (0.75, 2.0), (1.32, 1.28), (1.9, 1.12)]
    brush.fill_area([*body, (1.9, 0.38)], paint)
    brush.fill_area([(-1.9, 0.38), (-1.9, 0.55), (1.9, 0.55), (1.9, 0.38)], _darken(paint, 0.55))
    brush.fill_area([(0.42, 1.22), (0.42, 1.82), (0.72, 1.82), (1.16, 1.24)], GLASS)
    brush.fill_area([(-1.72, 0.95), (-1.72, 1.35), (0.2, 1.35), (0.2, 0.95)], (70, 110, 190))
    brush.draw_line([(0.3, 0.5), (0.3, 1.9)], 0.03, _darken(paint, 0.7))
    brush.fill_disc((1.82, 0.86), 0.09, (190, 235, 245))
    for hub in ((-1.15, 0.36), (1.15, 0.36)):
        brush.fill_disc(hub, 0.36, TYRE)
        brush.fill_disc(hub, 0.18, METAL)
        angle = -travelled / 0.36
        reach = (0.17 * math.cos(angle), 0.17 * math.sin(angle))
        brush.draw_line(
            [(hub[0] - reach[0], hub[1] - reach[1]), (hub[0] + reach[0], hub[1] + reach[1])],
            0.06,
            TYRE,
        )
