"""Detectors on engines: the same scores, and cameras that move from one engine to another."""

from __future__ import annotations

import numpy as np
import pytest

from model.bundles.bundle import Bundle
from model.detect.detector import Detector
from model.detect.observation import CameraOptions, Observation
from model.engines.engine import EngineError
from model.engines.names import EngineName
from model.frames import Frame
from model.network.update_rules import UPDATE_RULES
from model.training.bundle_quantisation import correlate_ranks
from tests.model.engines.programs import FORMS, inputs, lively_bundle
from tests.support.bundles import small_bundle

FRAMES = 30
RULES = ("paper", "pulled", "off")
"""One for each camera."""
OPTIONS = [CameraOptions(update=UPDATE_RULES[name]) for name in RULES]


@pytest.fixture(scope="module", params=["prediction", "prediction, RGB, judges, patch 2"])
def moving(request: pytest.FixtureRequest) -> Bundle:
    """Two forms whose memories move."""
    return lively_bundle(FORMS[request.param])


def _footage(bundle: Bundle) -> list[list[Frame]]:
    """Frames of three cameras."""
    net = bundle.config
    cameras = []
    for seed in range(len(RULES)):
        batches = inputs(net, FRAMES, seed=seed).frames[:, : net.channels]  # (T, C, H, W)
        frames = batches[:, 0] if net.channels == 1 else batches.transpose(0, 2, 3, 1)
        cameras.append([np.ascontiguousarray(frame) for frame in frames])
    return cameras


def _watch(bundle: Bundle, *engines: EngineName) -> list[list[Observation]]:
    """All cameras' results, each engine in turn taking over from what the one before it saved."""
    footage = list(zip(*_footage(bundle), strict=True))
    share = len(footage) // len(engines)
    saved: list[bytes] = []
    results: list[list[Observation]] = []
    for turn, name in enumerate(engines):
        detector = Detector(bundle, engine=name, threads=2)
        assert detector.engine is name
        cameras = [detector.restore(data) for data in saved] or [detector.start() for _ in RULES]
        for frames in footage[turn * share : (turn + 1) * share]:
            results.append(detector.observe(cameras, frames, OPTIONS))
        saved = [camera.save() for camera in cameras]
    return results


def test_scores_are_those_of_fp32_torch_also_across_engines(moving: Bundle) -> None:
    torch_fp32, openvino = EngineName.TORCH_FP32, EngineName.OPENVINO_FP32
    exact = _watch(moving, torch_fp32)
    found = _watch(moving, openvino, torch_fp32, openvino)
    for one, other in zip(found, exact, strict=True):
        for seen, expected in zip(one, other, strict=True):
            assert seen.warming == expected.warming
            assert seen.memory_updated == expected.memory_updated
            assert seen.score == pytest.approx(expected.score, abs=1e-4)
            assert seen.memory_drift_deg == pytest.approx(expected.memory_drift_deg, abs=0.05)
    drift = [seen.memory_drift_deg for seen in exact[-1]]
    assert drift[0] > 1.0  # or crossing engines with a moved memory would show nothing
    assert drift[2] == 0.0
    assert len({seen.score for row in exact for seen in row}) > FRAMES


def test_pictures_are_those_of_fp32_torch(moving: Bundle) -> None:
    frames = _footage(moving)[0][: moving.config.context + 2]
    pictures = []
    for name in (EngineName.TORCH_FP32, EngineName.OPENVINO_FP32):
        detector = Detector(moving, engine=name)
        camera = detector.start()
        for frame in frames[:-1]:
            detector.observe([camera], [frame])
        pictures.append(detector.predict_picture(camera, frames[-1]).astype(int))
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
    assert pictures[0].std() > 5.0


def test_a_detector_runs_fp32_torch_unless_told_otherwise() -> None:
    assert Detector(small_bundle()).engine is EngineName.TORCH_FP32
    with pytest.raises(EngineError, match="8-bit ranges"):
        Detector(small_bundle(), engine=EngineName.OPENVINO_INT8)


def test_ranks_agree_fully_backwards_and_not_at_all() -> None:
    assert correlate_ranks([0.1, 0.2, 0.9], [1.0, 2.0, 3.0]) == pytest.approx(1.0)
    assert correlate_ranks([0.1, 0.2, 0.9], [3.0, 2.0, 1.0]) == pytest.approx(-1.0)
    assert correlate_ranks([0.1, 0.1, 0.1], [3.0, 2.0, 1.0]) == 0.0
