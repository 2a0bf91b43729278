"""The detector: cameras in one batch, what it keeps of each, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.bundles.bundle import Bundle
from model.bundles.calibration_config import Calibration
from model.detect.camera_state import CameraState
from model.detect.detector import Detector
from model.detect.observation import CameraOptions, Observation, Withheld
from model.network.network_config import NetConfig, Task
from model.network.update_rules import UPDATE_RULES
from model.scoring.normal_range import Interval
from model.scoring.score_config import PAPER
from model.scoring.zones import find_region
from tests.support.bundles import small_bundle

Frame = NDArray[np.uint8]
SMALL = NetConfig(base_width=2, height=32, width=48)


def _bundle(net: NetConfig = SMALL) -> Bundle:
    return small_bundle(net=net)


def _footage(count: int, seed: int = 0, shape: tuple[int, ...] = (32, 48)) -> list[Frame]:
    """A drifting square on noise."""
    random = np.random.default_rng(seed)
    frames = []
    for step in range(count):
        frame = random.integers(0, 60, shape, dtype=np.uint8)
        frame[8:16, (3 * step) % 40 : (3 * step) % 40 + 8] = 200
        frames.append(frame)
    return frames


def _play(
    detector: Detector, camera: CameraState, frames: Sequence[Frame], options: CameraOptions
) -> list[Observation]:
    return [detector.observe([camera], [frame], [options])[0] for frame in frames]


def _assert_alike(one: Observation, other: Observation) -> None:
    assert (one.warming, one.memory_updated) == (other.warming, other.memory_updated)
    for name in ("psnr", "distance", "gate_error", "score"):
        value = getattr(other, name)
        assert getattr(one, name) == (None if value is None else pytest.approx(value, rel=1e-5))
    assert (one.score is None) == one.warming


@pytest.mark.parametrize(
    "net",
    [SMALL, replace(SMALL, task=Task.RECONSTRUCTION), replace(SMALL, channels=3)],
    ids=["prediction", "reconstruction", "rgb"],
)
def test_four_cameras_in_one_batch_equal_each_alone(net: NetConfig) -> None:
    detector = Detector(_bundle(net))
    shape = (32, 48, 3) if net.channels == 3 else (32, 48)
    footage = [_footage(12, seed, shape) for seed in range(4)]
    gammas = [
        CameraOptions(),
        CameraOptions(gamma=0.0),
        CameraOptions(),
        CameraOptions(update=UPDATE_RULES["held"]),
    ]
    cameras = [detector.start() for _ in range(4)]
    together = [
        detector.observe(cameras, [frames[step] for frames in footage], gammas)
        for step in range(12)
    ]
    for index in range(4):
        camera = detector.start()
        alone = _play(detector, camera, footage[index], gammas[index])
        for step, observation in enumerate(alone):
            _assert_alike(together[step][index], observation)
        torch.testing.assert_close(cameras[index].items, camera.items, rtol=1e-5, atol=1e-6)


def test_cameras_may_join_a_batch_at_different_ages() -> None:
    detector = Detector(_bundle())
    frames = _footage(10)
    old, new = detector.start(), detector.start()
    _play(detector, old, frames[:6], CameraOptions())
    results = detector.observe([new, old], [frames[6], frames[6]])
    assert results[0].warming and results[0].score is None
    assert not results[1].warming
    alone = detector.start()
    _assert_alike(results[1], _play(detector, alone, frames[:7], CameraOptions())[-1])


def test_a_gated_frame_leaves_the_items_bit_for_bit() -> None:
    detector = Detector(_bundle())
    camera = detector.start()
    trained = camera.items.clone()
    for result in _play(detector, camera, _footage(10), CameraOptions(gamma=0.0)):
        assert not result.memory_updated
    assert torch.equal(camera.items, trained)


def test_an_accepted_frame_moves_this_cameras_items_only() -> None:
    bundle = _bundle()
    detector = Detector(bundle)
    one, other = detector.start(), detector.start()
    frames = _footage(6)
    for frame in frames:
        results = detector.observe(
            [one, other], [frame, frame], [CameraOptions(gamma=9.0), CameraOptions(gamma=0.0)]
        )
    assert [result.memory_updated for result in results] == [True, False]
    assert not torch.equal(one.items, bundle.items[0])
    assert torch.equal(other.items, bundle.items[0])
    assert torch.equal(detector.start().items, bundle.items[0])
    torch.testing.assert_close(one.items.norm(dim=1), torch.ones(len(one.items)))


def test_a_frame_exactly_at_gamma_does_not_update() -> None:
    detector = Detector(_bundle())
    frames = _footage(5)
    error = _play(detector, detector.start(), frames, CameraOptions())[-1].gate_error
    assert error is not None
    at = _play(detector, detector.start(), frames, CameraOptions(gamma=error))[-1]
    above = math.nextafter(error, math.inf)
    below = _play(detector, detector.start(), frames, CameraOptions(gamma=above))[-1]
    assert (at.memory_updated, below.memory_updated) == (False, True)


def test_frozen_memory_never_updates() -> None:
    detector = Detector(_bundle())
    results = _play(
        detector,
        detector.start(),
        _footage(8),
        CameraOptions(update=UPDATE_RULES["held"], gamma=9.0),
    )
    assert not any(result.memory_updated for result in results)


def test_the_first_frames_are_warming_and_so_are_those_after_a_cut() -> None:
    detector = Detector(_bundle())
    camera = detector.start()
    frames = _footage(12)
    first = _play(detector, camera, frames[:6], CameraOptions())
    assert [result.warming for result in first] == [True] * 4 + [False] * 2
    camera.cut()
    second = _play(detector, camera, frames[6:], CameraOptions())
    assert [result.withheld for result in second] == [Withheld.FEW_FRAMES] * 4 + [None] * 2
    assert all(result.score is None and result.heat is None for result in second[:4])


def test_reconstruction_needs_no_frames_before() -> None:
    detector = Detector(_bundle(replace(SMALL, task=Task.RECONSTRUCTION)))
    assert detector.observe([detector.start()], _footage(1))[0].score is not None


def test_without_a_normal_range_there_are_measures_but_no_score() -> None:
    bundle = replace(_bundle(), calibration=Calibration())
    result = _play(Detector(bundle), Detector(bundle).start(), _footage(6), CameraOptions())[-1]
    assert result.warming
    assert result.withheld is Withheld.NO_RANGE
    assert result.score is None
    assert result.psnr is not None


def test_options_override_the_bundles_threshold_and_weight() -> None:
    bundle = replace(_bundle(), score=PAPER)
    detector = Detector(bundle)
    plain = _play(detector, detector.start(), _footage(6), CameraOptions())[-1]
    options = CameraOptions(threshold=0.9, appearance_weight=0.0)
    changed = _play(detector, detector.start(), _footage(6), options)[-1]
    assert plain.threshold == bundle.calibration.thresholds["paper"]
    assert changed.threshold == 0.9
    assert changed.psnr == plain.psnr
    assert changed.score != plain.score


def test_a_state_of_other_ranges_or_another_score_is_refused() -> None:
    """Calibrated again, the same weights make other numbers of the same frames."""
    bundle = _bundle()
    normal = bundle.calibration.normal
    assert normal is not None
    saved = Detector(bundle).start().save()
    wider = {key: Interval(span.low, 3.0 * span.high) for key, span in normal.errors.items()}
    others = (
        replace(
            bundle, calibration=replace(bundle.calibration, normal=replace(normal, errors=wider))
        ),
        replace(bundle, score=replace(bundle.score, smoothing=0.9)),
    )
    for other in others:
        with pytest.raises(ValueError, match="another bundle"):
            Detector(other).restore(saved)
    assert Detector(replace(bundle, name="renamed")).restore(saved).save() == saved


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("gamma", math.nan),
        ("gamma", -1.0),
        ("appearance_weight", math.nan),
        ("appearance_weight", 1.1),
        ("threshold", math.nan),
        ("threshold", math.inf),
    ],
)
def test_options_that_are_no_numbers_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{field}.*{value}"):
        replace(CameraOptions(), **{field: value})


@pytest.mark.parametrize(
    "net",
    [SMALL, replace(SMALL, task=Task.RECONSTRUCTION), replace(SMALL, channels=3)],
    ids=["prediction", "reconstruction", "rgb"],
)
def test_a_restored_camera_goes_on_to_the_bit(net: NetConfig) -> None:
    detector = Detector(_bundle(net))
    shape = (32, 48, 3) if net.channels == 3 else (32, 48)
    frames = _footage(14, shape=shape)
    camera = detector.start()
    _play(detector, camera, frames[:8], CameraOptions())
    data = camera.save()
    twin = Detector(_bundle(net)).restore(data)
    assert twin.save() == data
    for frame in frames[8:]:
        one = detector.observe([camera], [frame])[0]
        other = detector.observe([twin], [frame])[0]
        assert (one.score, one.gate_error) == (other.score, other.gate_error)
    assert camera.save() == twin.save()


def test_a_camera_can_be_saved_before_its_first_frame() -> None:
    detector = Detector(_bundle())
    data = detector.start().save()
    assert detector.restore(data).save() == data


def _damaged() -> list[tuple[str, bytes]]:
    detector = Detector(_bundle())
    camera = detector.start()
    _play(detector, camera, _footage(6), CameraOptions())
    data = camera.save()
    camera.items = camera.items * float("nan")
    return [
        ("nothing", b""),
        ("another file", b"\x89PNG\r\n\x1a\n" + bytes(400)),
        ("a pickle", b"\x80\x04N."),
        ("cut short", data[:-7]),
        ("too long", data + b"\0"),
        ("only the magic", data[:9]),
        ("a header that lies", data[:5] + b"\xff\xff\xff\x7f" + data[9:]),
        ("broken JSON", data[:9] + b"]" + data[10:]),
        ("NaN items", camera.save()),
        ("a bad number", data.replace(b"0x", b"zz", 1)),
        ("a number too many", data.replace(b'"low.distance"', b'"lot.distance"', 1)),
        ("frames of another shape", data.replace(b"[32, 48]", b"[48, 32]", 1)),
    ]


@pytest.mark.parametrize(("what", "data"), _damaged(), ids=lambda value: str(value)[:24])
def test_damaged_state_is_refused(what: str, data: bytes) -> None:
    with pytest.raises(ValueError, match=r"saved|state"):
        Detector(_bundle()).restore(data)


def test_the_state_of_another_bundle_is_refused() -> None:
    data = Detector(_bundle()).start().save()
    retrained = Detector(small_bundle(net=SMALL, seed=1))
    with pytest.raises(ValueError, match="another bundle"):
        retrained.restore(data)
    larger = Detector(small_bundle(net=replace(SMALL, memory_items=4)))
    with pytest.raises(ValueError, match="another bundle"):
        larger.restore(data)


def test_the_state_of_the_same_bundle_at_another_size_is_refused() -> None:
    detector = Detector(_bundle())
    camera = detector.start()
    _play(detector, camera, _footage(3), CameraOptions())
    other = Detector(_bundle(replace(SMALL, height=40)))
    with pytest.raises(ValueError, match="frames of shapes"):
        other.restore(camera.save())


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((32, 32), np.uint8),
        np.zeros((32, 48, 3), np.uint8),
        np.zeros((32, 48), np.float32),
        np.full((32, 48), np.nan),
    ],
    ids=["size", "colour", "float", "nan"],
)
def test_a_frame_of_another_shape_or_type_changes_no_camera(frame: Frame) -> None:
    detector = Detector(_bundle())
    cameras = [detector.start(), detector.start()]
    good = _footage(6)
    for step in range(5):
        detector.observe(cameras, [good[step], good[step]])
    before = [camera.save() for camera in cameras]
    with pytest.raises(ValueError, match="frame must be uint8"):
        detector.observe(cameras, [good[5], frame])
    assert [camera.save() for camera in cameras] == before


def test_a_camera_twice_or_unequal_lengths_are_refused() -> None:
    detector = Detector(_bundle())
    camera, frame = detector.start(), _footage(1)[0]
    with pytest.raises(ValueError, match="twice"):
        detector.observe([camera, camera], [frame, frame])
    with pytest.raises(ValueError, match="2 frames"):
        detector.observe([camera], [frame, frame])
    with pytest.raises(ValueError, match="0 options"):
        detector.observe([camera], [frame], [])
    assert detector.observe([], []) == []


@pytest.mark.parametrize("part", ["items", "weights"])
def test_numbers_gone_wrong_raise_and_change_no_camera(part: str) -> None:
    bundle = _bundle()
    if part == "weights":
        bundle.network.decoder.last.weight.data.fill_(float("nan"))
    detector = Detector(bundle)
    cameras = [detector.start(), detector.start()]
    frames = _footage(6)
    for frame in frames[:4]:
        detector.observe(cameras, [frame, frame])
    if part == "items":
        cameras[1].items = cameras[1].items * float("nan")
    before = [camera.save() for camera in cameras]
    with pytest.raises(ValueError, match="finite"):
        detector.observe(cameras, [frames[5], frames[5]])
    assert [camera.save() for camera in cameras] == before


def test_black_frames_have_scores() -> None:
    detector = Detector(_bundle())
    black = [np.zeros((32, 48), np.uint8)] * 6
    result = _play(detector, detector.start(), black, CameraOptions())[-1]
    assert result.score is not None
    assert math.isfinite(result.score)


def test_the_callers_buffer_may_be_used_again() -> None:
    detector = Detector(_bundle())
    frames = _footage(8)
    camera, careless = detector.start(), detector.start()
    buffer = np.empty((32, 48), np.uint8)
    for frame in frames:
        buffer[:] = frame
        kept = detector.observe([camera], [frame])[0]
        reused = detector.observe([careless], [buffer])[0]
    assert kept.score == reused.score


def test_the_error_map_shows_where_it_happened() -> None:
    detector = Detector(_bundle())
    camera = detector.start()
    still = np.full((32, 48), 20, np.uint8)
    _play(detector, camera, [still] * 5, CameraOptions())
    flash = still.copy()
    flash[2:14, 34:46] = 255
    result = detector.observe([camera], [flash])[0]
    assert result.heat is not None and result.region is not None
    row, column = np.unravel_index(result.heat.argmax(), result.heat.shape)
    assert row < result.heat.shape[0] / 2 < result.heat.shape[1] / 2 < column
    left, top, right, bottom = result.region
    assert 0.0 <= left < right <= 1.0 and 0.0 <= top < bottom <= 1.0
    rows, columns = result.heat.shape
    assert left <= column / columns < right and top <= row / rows < bottom


def test_a_region_is_the_box_around_the_largest_cells_that_touch() -> None:
    cells = np.zeros((4, 8), np.float32)
    cells[1:3, 2:4] = 1.0
    cells[2, 4] = 0.6
    cells[0, 7] = 0.9  # strong, but elsewhere
    cells[3, 4] = 0.3
    assert find_region(cells) == (2 / 8, 1 / 4, 5 / 8, 3 / 4)
    assert find_region(np.zeros((4, 8), np.float32)) == (0.0, 0.0, 1.0, 1.0)
