"""Scores of frames that come with times, at other rates than the model's."""

from __future__ import annotations

import numpy as np
import pytest

from model.detect.detector import Detector
from model.frames import Frame
from model.network.network_config import NetConfig
from model.scene.features import extract
from tests.support.bundles import small_bundle

SMALL = NetConfig(base_width=2, height=32, width=48)


def _draw_footage(count: int) -> list[Frame]:
    """Draw a drifting square on noise."""
    random = np.random.default_rng(0)
    frames = []
    for step in range(count):
        frame = random.integers(0, 60, (32, 48), dtype=np.uint8)
        frame[8:16, (3 * step) % 40 : (3 * step) % 40 + 8] = 200
        frames.append(frame)
    return frames


def test_scores_advance_by_the_time_of_capture() -> None:
    """Ten frames a second are the small bundle's rate: without times, or with these, alike."""
    detector = Detector(small_bundle(net=SMALL))
    frames, scores = _draw_footage(12), dict[float | None, list[float | None]]()
    for fps in (None, 10.0, 5.0):
        camera = detector.start()
        scores[fps] = [
            detector.observe(
                [camera], [frame], features=[extract(frame, None if fps is None else i / fps)]
            )[0].score
            for i, frame in enumerate(frames)
        ]
    assert scores[10.0][4:] == pytest.approx(scores[None][4:])
    assert scores[5.0][4] == scores[None][4]
    assert scores[5.0][5:] != pytest.approx(scores[None][5:])


def test_the_time_since_the_last_score_is_counted_in_frames_at_the_models_rate() -> None:
    camera = Detector(small_bundle(net=SMALL)).start()
    times_s = (None, 100.0, 100.1, 100.5, 100.5, 90.0, 91.0)
    steps = [camera.advance_to(time_s) for time_s in times_s]
    assert steps == pytest.approx([1.0, 1.0, 1.0, 4.0, 1.0, 1.0, 10.0])
    camera.cut()
    assert camera.advance_to(95.0) == 1.0
