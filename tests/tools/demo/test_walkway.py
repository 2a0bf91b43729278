"""The drawn scene: the same seed draws the same frames, and labels say what is in them."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from model.footage.footage_reader import FootageReader
from model.footage.footage_search import Source
from service.tools.demo.video import write_video
from service.tools.demo.walkway import Anomaly, AnomalyKind, draw_frames, draw_scene, label_frames


def test_a_seed_draws_the_same_frames_again() -> None:
    van = [Anomaly(AnomalyKind.VAN, 0.5)]
    first = np.stack(list(draw_frames(5, 2.0, van)))
    assert first.shape == (20, 240, 320, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, np.stack(list(draw_frames(5, 2.0, van))))


def test_another_seed_draws_other_people_at_the_same_place() -> None:
    one, other = (np.stack(list(draw_frames(seed, 20.0))[::20]) for seed in (1, 2))
    assert not np.array_equal(one, other)
    # Medians over time hide the people: what is left is the place, its light and the noise.
    place, again = (np.median(clip, axis=0) for clip in (one, other))
    assert np.abs(place - again).mean() < 8.0


def test_footage_without_anomalies_is_normal_throughout() -> None:
    assert not label_frames(3, 10.0).any()
    assert not any(frame.abnormal for frame in draw_scene(3, 1.0))


@pytest.mark.parametrize("kind", list(AnomalyKind))
def test_labels_span_the_crossing(kind: AnomalyKind) -> None:
    abnormal = label_frames(4, 12.0, [Anomaly(kind, 3.0)])
    inside = np.flatnonzero(abnormal)
    assert abs(int(inside[0]) - 30) <= 1
    assert 15 <= len(inside) < 60
    assert np.array_equal(inside, np.arange(inside[0], inside[-1] + 1))


def test_labels_without_drawing_are_those_of_the_drawn_frames() -> None:
    anomalies = [Anomaly(AnomalyKind.CYCLIST, 1.0)]
    assert np.array_equal(
        label_frames(6, 6.0, anomalies), [frame.abnormal for frame in draw_scene(6, 6.0, anomalies)]
    )


@pytest.mark.parametrize("kind", list(AnomalyKind))
def test_an_anomaly_changes_the_frames_that_are_labelled_and_no_others(kind: AnomalyKind) -> None:
    normal = draw_frames(8, 6.0)
    for before, after in zip(normal, draw_scene(8, 6.0, [Anomaly(kind, 1.0)]), strict=True):
        changed = float((np.abs(before.astype(int) - after.picture) > 40).mean())
        assert changed > 0.0 if after.abnormal else changed == 0.0


def test_the_video_is_h264_at_ten_frames_a_second(tmp_path: Path) -> None:
    path = tmp_path / "scene.mp4"
    drawn_frames = list(draw_frames(9, 1.5))
    write_video(path, drawn_frames)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.average_rate == 10
    decoded = [each.picture.bgr() for each in FootageReader(Source("scene", path))]
    assert len(decoded) == len(drawn_frames)
    errors = [
        np.abs(a.astype(float) - b).mean() for a, b in zip(decoded, drawn_frames, strict=True)
    ]
    assert max(errors) < 8.0
