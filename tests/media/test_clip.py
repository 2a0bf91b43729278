"""Clips: what they show, at what pace, and what they are made of."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from service.bus.picture_requests import SentShot
from service.media.clip import NoClip, encode_clip
from tests.media.shots import play_clip, shot
from tests.support.cameras import numbered_picture
from tests.support.footage import jpeg


def _play(path: Path, shots: list[SentShot], fps: float = 10.0) -> tuple[list[int], list[float]]:
    path.write_bytes(encode_clip(shots, fps))
    return play_clip(path)


def test_a_clip_shows_its_pictures_at_the_pace_of_their_capture(tmp_path: Path) -> None:
    times = {0: 5.0, 1: 5.1, 2: 5.4, 3: 6.4, 4: 6.45}
    shots = [shot(frame, at=at) for frame, at in times.items()]
    numbers, times_s = _play(tmp_path / "clip", shots)
    assert numbers == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(times_s, [0.0, 0.1, 0.4, 1.4, 1.45], atol=0.002)


def test_browsers_can_play_it_and_its_index_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "clip"
    path.write_bytes(encode_clip([shot(frame) for frame in range(12)], 10.0))
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt) == ("h264", "yuv420p")
    data = path.read_bytes()
    assert data[4:8] == b"ftyp"
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_clocks_that_jump_make_a_clip_that_goes_on(tmp_path: Path) -> None:
    times = [5.0, 5.0, 4.0, 4000.0, 4000.1]
    shots = [shot(frame, at=at) for frame, at in enumerate(times)]
    numbers, times_s = _play(tmp_path / "clip", shots, fps=5.0)
    assert numbers == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(times_s, [0.0, 0.2, 0.4, 0.6, 0.7], atol=0.002)


def test_what_is_no_picture_or_has_another_shape_is_left_out(tmp_path: Path) -> None:
    large = jpeg(numbered_picture(1, (128, 128)))
    shots = [
        shot(0),
        shot(1, image=large),
        shot(2, image=b"no picture"),
        shot(3, image=b""),
        shot(4),
    ]
    assert _play(tmp_path / "clip", shots)[0] == [0, 4]


def test_odd_sides_lose_a_row(tmp_path: Path) -> None:
    shots = [shot(0, image=jpeg(numbered_picture(number, (97, 99)))) for number in (7, 9)]
    (tmp_path / "clip").write_bytes(encode_clip(shots, 10.0))
    with av.open(str(tmp_path / "clip")) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.width, codec.height) == (98, 96)


@pytest.mark.parametrize("shots", [[], [shot(0)], [shot(0), shot(1, image=b"none")]])
def test_one_picture_is_no_clip(tmp_path: Path, shots: list[SentShot]) -> None:
    with pytest.raises(NoClip):
        (tmp_path / "clip").write_bytes(encode_clip(shots, 10.0))
