"""A zone over something that is always odd: no alarm of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from model.bundles import bundle as bundles
from model.bundles.catalog import find_bundle
from model.detect.detector import Detector
from model.detect.observation import CameraOptions
from model.frames import Frame, fit
from model.scoring.zones import build_zone_mask
from service.tools.demo.walkway import draw_frames

SECONDS = 5.0
SCREEN = (0.1, 0.05, 0.3, 0.25)
"""Left, top, right, bottom of a screen on the wall that is switched on after a while."""
AROUND = ((0.06, 0.01), (0.34, 0.01), (0.34, 0.29), (0.06, 0.29))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _footage(detector: Detector, on: int) -> Iterator[Frame]:
    random = np.random.default_rng(0)
    shape = detector.bundle.frame_shape
    left, top, right, bottom = (
        round(share * size)
        for share, size in zip(SCREEN, 2 * (shape.width, shape.height), strict=True)
    )
    for number, picture in enumerate(draw_frames(601, SECONDS)):
        frame = fit(picture, shape).copy()
        if number >= on:
            frame[top:bottom, left:right] = random.integers(0, 256, dtype=np.uint8)
        yield frame


def test_a_flickering_screen_gives_no_alarm_where_it_is_ignored() -> None:
    """Though each frame of it is a part of what the next is predicted from."""
    detector = Detector(bundles.load(find_bundle("demo")))
    shape = detector.bundle.frame_shape
    part = build_zone_mask([], [AROUND], shape.height, shape.width)
    options = [CameraOptions(watch_scene=False, watched=each) for each in (None, part)]
    cameras = [detector.start() for _ in options]
    over: list[list[bool]] = []
    for frame in _footage(detector, on=25):
        seen = detector.observe(cameras, [frame] * len(cameras), options)
        over.append(
            [each.score is not None and each.score >= (each.threshold or 0.0) for each in seen]
        )
    before, after = np.sum(over[:25], axis=0), np.sum(over[25:], axis=0)
    assert before.tolist() == [0, 0]
    assert after[0] > 5
    assert after[1] == 0
