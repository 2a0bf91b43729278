"""Cameras with zones, next to cameras without, on every engine of a processor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.bundles.bundle import Bundle
from model.bundles.calibration_config import InputRange, Int8
from model.bundles.range_names import list_convolution_names
from model.detect.detector import Detector
from model.detect.observation import CameraOptions, Observation
from model.engines.choice import make_program
from model.engines.names import EngineName
from model.engines.required_measures import find_required_measures
from model.engines.torch_engine import CudaEngine, TorchEngine
from model.engines.zone_measures import apply_zones, select_pixels
from model.frames import Frame
from model.scoring.zones import ZoneMask, build_zone_mask
from tests.model.engines.programs import FORMS, inputs, lively_bundle

PLAIN, JUDGING = "prediction", "prediction, RGB, judges, patch 2"
ENGINES = [
    (EngineName.TORCH_FP32, JUDGING),
    (EngineName.OPENVINO_FP32, JUDGING),
    *((name, PLAIN) for name in EngineName if not name.on_gpu and not name.value.endswith("fp32")),
]
"""All of a processor's, and the form of the network that each is tested on."""
TURNS = 3
"""Frames that are scored; in the last one something stands in the picture."""


def _part(*corners: tuple[float, float]) -> ZoneMask:
    found = build_zone_mask([], [corners], 64, 64)
    assert found is not None
    return found


WITHOUT_CORNER = _part((0.5, 0.0), (1.0, 0.0), (1.0, 0.5), (0.5, 0.5))
WITHOUT_BOTTOM = _part((0.0, 0.7), (1.0, 0.7), (1.0, 1.0), (0.0, 1.0))
OPTIONS = [
    CameraOptions(watch_scene=False, watched=part)
    for part in (None, WITHOUT_CORNER, WITHOUT_BOTTOM, None)
]
WHOLE = [replace(option, watched=None) for option in OPTIONS]


@pytest.fixture(scope="module", params=ENGINES, ids=[name.value for name, _ in ENGINES])
def detector(request: pytest.FixtureRequest) -> Detector:
    """Two threads: a batch is shared out."""
    name, form = request.param
    made = lively_bundle(FORMS[form])
    ranges = dict.fromkeys(list_convolution_names(made.network), InputRange(-1.0, 1.0))
    return Detector(replace(made, int8=Int8(ranges, 1.0, 100)), engine=name, threads=2)


@pytest.fixture
def bundle(detector: Detector) -> Bundle:
    """The detector's."""
    return detector.bundle


def _frames(bundle: Bundle) -> list[list[Frame]]:
    """By turn, the frame of each camera: all the same."""
    net = bundle.config
    drawn = inputs(net, net.context + TURNS).frames[:, : net.channels]  # (T, C, H, W)
    frames = drawn[:, 0] if net.channels == 1 else drawn.transpose(0, 2, 3, 1)
    return [[np.ascontiguousarray(frame)] * len(OPTIONS) for frame in frames]


def _with_square(detector: Detector, top: int, left: int) -> list[list[Frame]]:
    """Frames in the last of which a square is as unlike its prediction as it can be."""
    *before, last = _frames(detector.bundle)
    camera = detector.start()
    for frames in before:
        detector.observe([camera], frames[:1], WHOLE[:1])
    place = slice(top, top + 16), slice(left, left + 16)
    changed = last[0].copy()
    predicted = detector.predict_picture(camera, changed, WHOLE[0])
    changed[place] = np.where(predicted[place] < 128, 255, 0)
    return [*before, [changed] * len(OPTIONS)]


def _last(
    detector: Detector, turns: Sequence[Sequence[Frame]], options: Sequence[CameraOptions]
) -> list[Observation]:
    cameras = [detector.start() for _ in options]
    for frames in turns:
        seen = detector.observe(cameras, frames, options)
    return seen


def _errors(detector: Detector, seen: Observation) -> dict[str, float]:
    """What it scores by place."""
    assert seen.measures is not None
    return {step.key: seen.measures.errors[step.key] for step in detector.bundle.score.steps}


def test_what_happens_in_an_ignored_zone_scores_as_if_it_were_not_there(
    detector: Detector, bundle: Bundle
) -> None:
    """Of a batch of cameras, each with its own zone or none; PSNR, D and E_t are of the whole."""
    turns = _frames(bundle)
    calm = _last(detector, turns, OPTIONS)
    inside = _last(detector, _with_square(detector, 4, 44), OPTIONS)
    error = bundle.score.error.key
    for camera in (0, 2, 3):
        assert _errors(detector, inside[camera])[error] > _errors(detector, calm[camera])[error]
    assert _errors(detector, inside[1]) == _errors(detector, calm[1])
    assert inside[1].score == calm[1].score
    assert inside[1].region == calm[1].region
    assert inside[1].psnr == inside[0].psnr != calm[1].psnr
    assert inside[1].gate_error == inside[0].gate_error
    assert inside[1].distance == inside[0].distance


def test_what_happens_beside_it_scores(detector: Detector, bundle: Bundle) -> None:
    turns = _frames(bundle)
    calm = _last(detector, turns, OPTIONS)
    elsewhere = _last(detector, _with_square(detector, 8, 8), OPTIONS)
    key = bundle.score.error.key
    for camera in range(len(OPTIONS)):
        found = _errors(detector, elsewhere[camera])[key]
        assert found > _errors(detector, calm[camera])[key] + 0.03
        assert found <= _errors(detector, elsewhere[0])[key]


def test_a_camera_without_zones_gets_the_same_bits_beside_one_that_has_them(
    detector: Detector, bundle: Bundle
) -> None:
    turns = _frames(bundle)
    mixed, plain = _last(detector, turns, OPTIONS), _last(detector, turns, WHOLE)
    for camera in (0, 3):
        one, other = mixed[camera], plain[camera]
        assert one.measures == other.measures
        assert one.score == other.score
        assert np.array_equal(_heat(one), _heat(other))
    for camera in (1, 2):
        assert mixed[camera].measures != plain[camera].measures


def test_heat_and_region_lie_within_what_is_watched(detector: Detector, bundle: Bundle) -> None:
    below = _last(detector, _with_square(detector, 46, 24), OPTIONS)
    if not bundle.config.judges:
        assert below[0].region is not None and below[0].region[3] > 0.75
    for camera, part in ((1, WITHOUT_CORNER), (2, WITHOUT_BOTTOM)):
        heat = _heat(below[camera])
        height, width = heat.shape
        rows, columns = np.nonzero(heat)
        assert len(rows)
        # The middle of each hot cell is watched, but for what the edge touches.
        y = ((rows + 0.5) * 64 / height).astype(int)
        x = ((columns + 0.5) * 64 / width).astype(int)
        near = part.pixels.copy()
        for axis in (0, 1):
            for step in (-3, 3):
                near |= np.roll(part.pixels, step, axis)
        assert near[y, x].all()
    assert below[2].region is not None and below[2].region[3] <= 0.7 + 1 / 64


def _heat(seen: Observation) -> NDArray[np.float32]:
    assert seen.heat is not None
    return seen.heat


def test_a_part_of_all_cells_measures_what_the_engine_measures(
    detector: Detector, bundle: Bundle
) -> None:
    """The pooling outside of the compiled program is the same one."""
    pixels = np.ones((64, 64), np.bool_)
    options = [replace(option, watched=ZoneMask(pixels)) for option in WHOLE]
    turns = _frames(bundle)
    for one, other in zip(
        _last(detector, turns, options), _last(detector, turns, WHOLE), strict=True
    ):
        found, expected = _errors(detector, one), _errors(detector, other)
        assert found == {key: pytest.approx(value, abs=2e-5) for key, value in expected.items()}
        np.testing.assert_allclose(_heat(one), _heat(other), rtol=0.0, atol=2e-4)


def test_zones_of_another_size_are_refused_and_change_nothing() -> None:
    bundle = lively_bundle()
    detector = Detector(bundle)
    wrong = CameraOptions(watched=build_zone_mask([], [((0, 0), (1, 0), (0, 1))], 32, 64))
    camera = detector.start()
    with pytest.raises(ValueError, match=r"\(64, 64\).*\(32, 64\)"):
        detector.observe([camera], [_frames(bundle)[0][0]], [wrong])
    assert not camera.frames


@pytest.mark.parametrize("cameras", [1, 3, 19])
def test_the_gpus_engine_shows_those_that_have_zones(cameras: int) -> None:
    """In batches of several sizes, whose places are used again. Its graphs need a GPU."""
    bundle = lively_bundle(FORMS["prediction, RGB, judges, patch 2"])
    required, cpu = find_required_measures(bundle), torch.device("cpu")
    gpu = CudaEngine(make_program(bundle, required), EngineName.CUDA_FP32, cpu)
    exact = TorchEngine(make_program(bundle, required), EngineName.TORCH_FP32, cpu)
    parts = [(WITHOUT_CORNER, None, WITHOUT_BOTTOM)[camera % 3] for camera in range(cameras)]
    given, other = (inputs(bundle.config, cameras, seed=seed) for seed in (0, 1))
    outputs = []
    for each in (gpu, exact):
        output = each.run(given.frames, given.items, given.reads, select_pixels(parts))
        each.run(other.frames, other.items, other.reads)
        outputs.append(apply_zones(output, given.frames, parts, required))
    np.testing.assert_allclose(outputs[0].columns, outputs[1].columns, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(outputs[0].heat, outputs[1].heat, rtol=0.0, atol=2e-5)
