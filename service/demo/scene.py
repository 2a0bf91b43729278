"""A scene that the project draws itself: a walkway under a fixed camera, people walking along it,
and, where asked for, something that doesn't belong there. The same seed draws the same frames."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from model.frames import Picture
from service.demo.brush import Brush, Colour
from service.demo.figures import RUN, WALK, Clothes, draw_cyclist, draw_person, draw_van
from service.demo.ground import FOCAL, HEIGHT, WIDTH, background, brush_at

FPS = 10
RIGHTWARD, LEFTWARD = (9.0, 12.0), (14.0, 24.0)
"""Metres from the camera at which people walk to the right and to the left: they keep right."""
HEADWAY_S = 1.0
"""Least time between two who come in; on the average another `GAP_S` passes."""
GAP_S = 1.4
SPEEDS = (0.8, 1.6)
"""Metres a second, of walkers."""
NOISE = 2.2
"""Standard deviation of the sensor's noise, in grey levels."""
DRIFT = 0.03
"""How far the light swings to each side, as a share."""

DARK = 70.0
"""Grey level of sports clothes, at most."""

SKINS: tuple[Colour, ...] = ((150, 180, 220), (110, 140, 190), (70, 95, 140), (50, 66, 96))
HAIRS: tuple[Colour, ...] = ((30, 32, 40), (40, 62, 92), (96, 150, 190), (150, 150, 154))


class AnomalyKind(StrEnum):
    """What doesn't belong on the walkway."""

    VAN = "van"
    CYCLIST = "cyclist"
    RUNNER = "runner"


SPEED = {AnomalyKind.VAN: 4.5, AnomalyKind.CYCLIST: 5.2, AnomalyKind.RUNNER: 4.6}
"""Metres a second."""
REACH = {AnomalyKind.VAN: 2.0, AnomalyKind.CYCLIST: 0.9, AnomalyKind.RUNNER: 0.4}
"""Half the length of each, in metres."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One of those, and when it comes into the picture, in seconds from the start."""

    kind: AnomalyKind
    at_s: float


@dataclass(frozen=True, slots=True)
class SceneFrame:
    """A drawn frame."""

    picture: Picture
    """(240, 320, 3) BGR."""
    abnormal: bool
    """Whether any part of an anomaly is in the picture."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody or something that crosses the picture at an even speed."""

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
    """Takes the metres travelled so far."""

    def place(self, time_s: float) -> tuple[float, float]:
        """Metres right of the middle, and from the camera."""
        age_s = time_s - self.start_s
        return self.x + self.speed * age_s, self.depth + self.drift * age_s

    def visible(self, time_s: float) -> bool:
        """Whether it has come, and any part of it is in the picture."""
        x, depth = self.place(time_s)
        return time_s >= self.start_s and abs(x) - self.reach < _half_width(depth)


def drawn(seed: int, seconds: float, anomalies: Sequence[Anomaly] = ()) -> Iterator[SceneFrame]:
    """The scene's frames, 10 a second, each with its label.

    An anomaly changes nothing but the frames that it is in.
    """
    random = np.random.default_rng(seed)
    walkers = _walkers(random, seconds)
    intruders = _intruders(seed, anomalies)
    light_phase = float(random.uniform(0.0, 2.0 * math.pi))
    for number in range(round(seconds * FPS)):
        time_s = number / FPS
        present = [actor for actor in (*walkers, *intruders) if actor.visible(time_s)]
        gain = 1.0 + DRIFT * math.sin(2.0 * math.pi * time_s / 70.0 + light_phase)
        yield SceneFrame(
            _photograph(_compose(present, time_s), gain, random),
            any(actor.visible(time_s) for actor in intruders),
        )


def frames(seed: int, seconds: float, anomalies: Sequence[Anomaly] = ()) -> Iterator[Picture]:
    """The pictures alone."""
    return (frame.picture for frame in drawn(seed, seconds, anomalies))


def labels(seed: int, seconds: float, anomalies: Sequence[Anomaly] = ()) -> NDArray[np.bool_]:
    """Which frames of `frames` with the same arguments are abnormal; draws nothing."""
    intruders = _intruders(seed, anomalies)
    times = [number / FPS for number in range(round(seconds * FPS))]
    return np.array([any(actor.visible(t) for actor in intruders) for t in times], np.bool_)


def _half_width(depth: float) -> float:
    """Metres from the picture's middle to its edge."""
    return 0.5 * WIDTH * depth / FOCAL


def _compose(actors: Sequence[Actor], time_s: float) -> Picture:
    """The place with the actors on it, the far ones first."""
    picture = background().copy()
    for actor in sorted(actors, key=lambda actor: -actor.place(time_s)[1]):
        x, depth = actor.place(time_s)
        travelled = math.hypot(actor.speed, actor.drift) * (time_s - actor.start_s)
        actor.draw(brush_at(picture, x, depth, 1 if actor.speed > 0 else -1), travelled)
    return picture


def _photograph(picture: Picture, gain: float, random: np.random.Generator) -> Picture:
    """What the sensor makes of it: smaller, lit, noisy."""
    small = cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    noise = random.standard_normal((HEIGHT, WIDTH, 1), dtype=np.float32) * NOISE
    return np.asarray(np.clip(small * np.float32(gain) + noise, 0, 255), np.uint8)


def _walkers(random: np.random.Generator, seconds: float) -> list[Actor]:
    """Everybody who walks through. The first come before the start: the place is never empty."""
    actors: list[Actor] = []
    time_s = -2.0 * _half_width(LEFTWARD[1]) / SPEEDS[0]
    while True:
        time_s += HEADWAY_S + float(random.exponential(GAP_S))
        if time_s >= seconds:
            return actors
        actors.append(_walker(random, time_s))


def _walker(random: np.random.Generator, start_s: float) -> Actor:
    heading = 1 if random.random() < 0.5 else -1
    nearest, farthest = RIGHTWARD if heading > 0 else LEFTWARD
    # Even in the picture rather than on the ground: as many near as far.
    depth = 1.0 / float(random.uniform(1.0 / farthest, 1.0 / nearest))
    speed = float(random.uniform(*SPEEDS))
    clothes = _clothes(random)
    drift = float(random.uniform(-0.25, 0.25))
    crossing_s = 2.0 * _half_width(depth) / speed
    drift = min(max(drift, (nearest - depth) / crossing_s), (farthest - depth) / crossing_s)

    def draw(brush: Brush, travelled: float) -> None:
        draw_person(brush, clothes, WALK, travelled)

    return _entering(start_s, depth, heading * speed, drift, 0.5, draw)


def _entering(
    start_s: float,
    depth: float,
    speed: float,
    drift: float,
    reach: float,
    draw: Callable[[Brush, float], None],
) -> Actor:
    """An actor that starts just outside the picture, on the side that it comes from."""
    x = -math.copysign(_half_width(depth) + reach, speed)
    return Actor(start_s, x, depth, speed, drift, reach, draw)


def _clothes(random: np.random.Generator, lightest_coat: float = 215.0) -> Clothes:
    return Clothes(
        coat=_cloth(random, 30.0, lightest_coat),
        trousers=_cloth(random, 25.0, 110.0),
        hair=HAIRS[int(random.integers(len(HAIRS)))],
        skin=SKINS[int(random.integers(len(SKINS)))],
        height=float(random.uniform(1.58, 1.88)),
    )


def _cloth(random: np.random.Generator, darkest: float, lightest: float) -> Colour:
    """A grey of any lightness, tinted a little."""
    grey = float(random.uniform(darkest, lightest))
    blue, green, red = (float(v) for v in grey * random.uniform(0.75, 1.2, 3))
    return min(blue, 255.0), min(green, 255.0), min(red, 255.0)


def _intruders(seed: int, anomalies: Sequence[Anomaly]) -> list[Actor]:
    random = np.random.default_rng((seed, 1))
    return [_intruder(random, anomaly) for anomaly in anomalies]


def _intruder(random: np.random.Generator, anomaly: Anomaly) -> Actor:
    kind = anomaly.kind
    heading = 1 if random.random() < 0.5 else -1
    depth = float(random.uniform(9.5, 11.5))
    # In the grey of the paving nobody would be seen well, however fast.
    clothes = _clothes(random, DARK)

    def draw(brush: Brush, travelled: float) -> None:
        if kind is AnomalyKind.VAN:
            draw_van(brush, (222, 224, 226), travelled)
        elif kind is AnomalyKind.CYCLIST:
            draw_cyclist(brush, clothes, travelled)
        else:
            draw_person(brush, clothes, RUN, travelled)

    return _entering(anomaly.at_s, depth, heading * SPEED[kind], 0.0, REACH[kind], draw)
