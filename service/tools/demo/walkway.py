"""Draws a scene: a walkway under a fixed camera, people walking along it, and, on request,
something that doesn't belong there. The same seed draws the same frames."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from model.frames import Picture
from service.tools.demo.brush import Brush, Colour
from service.tools.demo.ground import FOCAL, HEIGHT, WIDTH, draw_background, place_brush
from service.tools.demo.silhouettes import RUN, WALK, Clothes, draw_cyclist, draw_person, draw_van

FPS = 10
RIGHTWARD, LEFTWARD = (9.0, 12.0), (14.0, 24.0)
"""Metres from the camera at which people walk to the right and to the left: they keep right."""
HEADWAY_S = 1.0
"""Least time between two people who come in; the mean is longer by `GAP_S`."""
GAP_S = 1.4
SPEEDS = (0.8, 1.6)
"""Slowest and fastest walkers, in metres a second."""
NOISE = 2.2
"""Standard deviation of the sensor's noise, in grey levels."""
DRIFT = 0.03
"""Share by which the light varies to each side."""

DARK = 70.0
"""Highest grey level of sports clothes."""

SKINS: tuple[Colour, ...] = ((150, 180, 220), (110, 140, 190), (70, 95, 140), (50, 66, 96))
HAIRS: tuple[Colour, ...] = ((30, 32, 40), (40, 62, 92), (96, 150, 190), (150, 150, 154))


class AnomalyKind(StrEnum):
    """Kinds of things that don't belong on the walkway."""

    VAN = "van"
    CYCLIST = "cyclist"
    RUNNER = "runner"


SPEED = {AnomalyKind.VAN: 4.5, AnomalyKind.CYCLIST: 5.2, AnomalyKind.RUNNER: 4.6}
"""Metres a second."""
REACH = {AnomalyKind.VAN: 2.0, AnomalyKind.CYCLIST: 0.9, AnomalyKind.RUNNER: 0.4}
"""Half the length of each, in metres."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """An anomaly, and when it comes into the picture, in seconds from the start."""

    kind: AnomalyKind
    at_s: float


@dataclass(frozen=True, slots=True)
class SceneFrame:
    """A drawn frame."""

    picture: Picture
    """(240, 320, 3) BGR."""
    abnormal: bool
    """True where any part of an anomaly is in the picture."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or thing that crosses the picture at constant speed."""

    start_s: float
    x: float
    """Metres right of the middle, at the start."""
    depth: float
    """Metres from the camera, at the start."""
    speed: float
    """Metres a second to the right; below 0 to the left."""
    drift: float
    """Metres a second away from the camera."""
    reach: float
    """Half its length, in metres."""
    draw: Callable[[Brush, float], None]
    """Draws the actor, given the metres travelled so far."""

    def locate(self, time_s: float) -> tuple[float, float]:
        """Return the metres right of the middle, and from the camera."""
        age_s = time_s - self.start_s
        return self.x + self.speed * age_s, self.depth + self.drift * age_s

    def is_visible(self, time_s: float) -> bool:
        """Return whether any part of the actor is in the picture."""
        x, depth = self.locate(time_s)
        return time_s >= self.start_s and abs(x) - self.reach < _compute_half_width(depth)


def draw_scene(
    seed: int, seconds: float, anomalies: Sequence[Anomaly] = ()
) -> Iterator[SceneFrame]:
    """Draw the scene's frames, 10 a second, each with its label.

    An anomaly changes nothing but the frames that it is in.
    """
    random = np.random.default_rng(seed)
    walkers = _make_walkers(random, seconds)
    intruders = _make_intruders(seed, anomalies)
    light_phase = float(random.uniform(0.0, 2.0 * math.pi))
    for number in range(round(seconds * FPS)):
        time_s = number / FPS
        present = [actor for actor in (*walkers, *intruders) if actor.is_visible(time_s)]
        gain = 1.0 + DRIFT * math.sin(2.0 * math.pi * time_s / 70.0 + light_phase)
        yield SceneFrame(
            _photograph(_compose(present, time_s), gain, random),
            any(actor.is_visible(time_s) for actor in intruders),
        )


def draw_frames(seed: int, seconds: float, anomalies: Sequence[Anomaly] = ()) -> Iterator[Picture]:
    """Draw the pictures alone."""
    return (frame.picture for frame in draw_scene(seed, seconds, anomalies))


def label_frames(seed: int, seconds: float, anomalies: Sequence[Anomaly] = ()) -> NDArray[np.bool_]:
    """Say which frames of `draw_frames` with the same arguments are abnormal; draws nothing."""
    intruders = _make_intruders(seed, anomalies)
    times = [number / FPS for number in range(round(seconds * FPS))]
    return np.array([any(actor.is_visible(t) for actor in intruders) for t in times], np.bool_)


def _compute_half_width(depth: float) -> float:
    """Return the metres from the picture's middle to its edge."""
    return 0.5 * WIDTH * depth / FOCAL


def _compose(actors: Sequence[Actor], time_s: float) -> Picture:
    """Draw the place with the actors on it, the far ones first."""
    picture = draw_background().copy()
    for actor in sorted(actors, key=lambda actor: -actor.locate(time_s)[1]):
        x, depth = actor.locate(time_s)
        travelled = math.hypot(actor.speed, actor.drift) * (time_s - actor.start_s)
        actor.draw(place_brush(picture, x, depth, 1 if actor.speed > 0 else -1), travelled)
    return picture


def _photograph(picture: Picture, gain: float, random: np.random.Generator) -> Picture:
    """Shrink a picture, light it, and add the sensor's noise."""
    small = cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    noise = random.standard_normal((HEIGHT, WIDTH, 1), dtype=np.float32) * NOISE
    return np.asarray(np.clip(small * np.float32(gain) + noise, 0, 255), np.uint8)


def _make_walkers(random: np.random.Generator, seconds: float) -> list[Actor]:
    """Make all walkers. The first come before the start, so that the place is never empty."""
    actors: list[Actor] = []
    time_s = -2.0 * _compute_half_width(LEFTWARD[1]) / SPEEDS[0]
    while True:
        time_s += HEADWAY_S + float(random.exponential(GAP_S))
        if time_s >= seconds:
            return actors
        actors.append(_make_walker(random, time_s))


def _make_walker(random: np.random.Generator, start_s: float) -> Actor:
    heading = 1 if random.random() < 0.5 else -1
    nearest, farthest = RIGHTWARD if heading > 0 else LEFTWARD
    # Evenly distributed in the picture rather than on the ground: as many near as far.
    depth = 1.0 / float(random.uniform(1.0 / farthest, 1.0 / nearest))
    speed = float(random.uniform(*SPEEDS))
    clothes = _choose_clothes(random)
    drift = float(random.uniform(-0.25, 0.25))
    crossing_s = 2.0 * _compute_half_width(depth) / speed
    drift = min(max(drift, (nearest - depth) / crossing_s), (farthest - depth) / crossing_s)

    def draw(brush: Brush, travelled: float) -> None:
        draw_person(brush, clothes, WALK, travelled)

    return _make_actor(start_s, depth, heading * speed, drift, reach=0.5, draw=draw)


def _make_actor(
    start_s: float,
    depth: float,
    speed: float,
    drift: float,
    *,
    reach: float,
    draw: Callable[[Brush, float], None],
) -> Actor:
    """Make an actor that starts just outside the picture, on the side that it comes from."""
    x = -math.copysign(_compute_half_width(depth) + reach, speed)
    return Actor(start_s, x, depth, speed, drift, reach, draw)


def _choose_clothes(random: np.random.Generator, lightest_coat: float = 215.0) -> Clothes:
    return Clothes(
        coat=_choose_cloth(random, 30.0, lightest_coat),
        trousers=_choose_cloth(random, 25.0, 110.0),
        hair=HAIRS[int(random.integers(len(HAIRS)))],
        skin=SKINS[int(random.integers(len(SKINS)))],
        height=float(random.uniform(1.58, 1.88)),
    )


def _choose_cloth(random: np.random.Generator, darkest: float, lightest: float) -> Colour:
    """Choose a grey of any lightness, tinted a little."""
    grey = float(random.uniform(darkest, lightest))
    blue, green, red = (float(v) for v in grey * random.uniform(0.75, 1.2, 3))
    return min(blue, 255.0), min(green, 255.0), min(red, 255.0)


def _make_intruders(seed: int, anomalies: Sequence[Anomaly]) -> list[Actor]:
    random = np.random.default_rng((seed, 1))
    return [_make_intruder(random, anomaly) for anomaly in anomalies]


def _make_intruder(random: np.random.Generator, anomaly: Anomaly) -> Actor:
    kind = anomaly.kind
    heading = 1 if random.random() < 0.5 else -1
    depth = float(random.uniform(9.5, 11.5))
    # Clothes as grey as the paving would hide a runner.
    clothes = _choose_clothes(random, DARK)

    def draw(brush: Brush, travelled: float) -> None:
        if kind is AnomalyKind.VAN:
            draw_van(brush, (222, 224, 226), travelled)
        elif kind is AnomalyKind.CYCLIST:
            draw_cyclist(brush, clothes, travelled)
        else:
            draw_person(brush, clothes, RUN, travelled)

    return _make_actor(
        anomaly.at_s, depth, heading * SPEED[kind], 0.0, reach=REACH[kind], draw=draw
    )
