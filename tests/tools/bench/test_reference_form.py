"""The reference form is the paper's network: it measures what the detector measures."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch

from model.bundles.bundle import Bundle
from model.bundles.calibration_config import Calibration
from model.detect.detector import Detector
from model.detect.observation import CameraOptions
from model.network.mnad_memory import draw_items
from model.network.unet import build_network
from model.network.update_rules import PAPER_UPDATE
from model.scoring.score_config import PAPER
from service.tools.bench.camera_clips import fit_drawn_frames, play_back_and_forth
from service.tools.bench.reference_form import COLUMNS, REFERENCE_CONFIG, ReferenceForm


def test_it_gives_what_the_detector_gives_of_the_same_weights() -> None:
    form = ReferenceForm(seed=3)
    config = REFERENCE_CONFIG
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = build_network(config).eval().requires_grad_(False)
    items = draw_items(
        config.memory_items, config.memory_channels, torch.Generator().manual_seed(3)
    )
    bundle = Bundle("wide", config, network, items, Calibration(gamma=1e9), score=PAPER)
    detector = Detector(bundle)
    camera = detector.start()
    frames = list(islice(play_back_and_forth(fit_drawn_frames(bundle.frame_shape, 6)), 6))
    for index, frame in enumerate(frames):
        (seen,) = detector.observe([camera], [frame], [CameraOptions(update=PAPER_UPDATE)])
        if index < config.context:
            continue
        (row,) = form.observe(np.stack(frames[index - config.context : index + 1])[None])
        # The second frame is read with items that the first one has moved.
        expected = [getattr(seen, name) for name in COLUMNS]
        assert row == pytest.approx(expected, rel=1e-4)
