"""The reference form is the paper's network: it measures what the detector measures."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch

from model.bundle import Bundle
from model.config import PAPER, Calibration
from model.detector import Detector
from model.memory import initial_items
from model.network import build
from model.observation import CameraOptions
from model.reference_form import COLUMNS, REFERENCE_CONFIG, ReferenceForm
from model.rules import PAPER_UPDATE
from service.bench.footage import back_and_forth, fitted_frames


def test_it_gives_what_the_detector_gives_of_the_same_weights() -> None:
    form = ReferenceForm(seed=3)
    config = REFERENCE_CONFIG
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = build(config).eval().requires_grad_(False)
    items = initial_items(
        config.memory_items, config.memory_channels, torch.Generator().manual_seed(3)
    )
    bundle = Bundle("wide", config, network, items, Calibration(gamma=1e9), score=PAPER)
    detector = Detector(bundle)
    camera = detector.start()
    frames = list(islice(back_and_forth(fitted_frames(bundle.frame_shape, 6)), 6))
    for index, frame in enumerate(frames):
        (seen,) = detector.observe([camera], [frame], [CameraOptions(update=PAPER_UPDATE)])
        if index < config.context:
            continue
        (row,) = form.observe(np.stack(frames[index - config.context : index + 1])[None])
        # The second frame is read with items that the first one has moved.
        expected = [getattr(seen, name) for name in COLUMNS]
        assert row == pytest.approx(expected, rel=1e-4)
