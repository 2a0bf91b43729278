"""Small networks of every form with random weights, as engines are given them, and their inputs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.bundles.bundle import Bundle
from model.bundles.calibration_config import Calibration
from model.engines.choice import open_engine
from model.engines.engine import Engine, FrameStack
from model.engines.names import EngineName
from model.engines.required_measures import find_required_measures
from model.network.network_config import MemoryKind, NetConfig, Task
from model.scoring.normal_range import Interval, NormalRange
from model.scoring.score_config import JUDGED, SCORES
from tests.support.bundles import SMALL, small_bundle

MEMAE = replace(SMALL, memory=MemoryKind.MEMAE, memory_items=24, memory_shrinkage=0.2)
FORMS: dict[str, NetConfig] = {
    "prediction": SMALL,
    "prediction, RGB, judges, patch 2": replace(SMALL, channels=3, judges=True, patch=2),
    "prediction, MemAE, judges": replace(MEMAE, judges=True),
    "reconstruction, judges": replace(SMALL, task=Task.RECONSTRUCTION, judges=True),
    "reconstruction, MemAE, patch 2": replace(MEMAE, task=Task.RECONSTRUCTION, patch=2),
    "reconstruction, MemAE, RGB": replace(MEMAE, task=Task.RECONSTRUCTION, channels=3),
}
"""Each two of task, channels, memory, judging and patch stand in one of them, in most ways."""


def lively_bundle(net: NetConfig = SMALL, seed: int = 0) -> Bundle:
    """Make a bundle whose batch norms do something, with contrast and ranges of every score."""
    bundle = small_bundle(net=net, seed=seed)
    random = torch.Generator().manual_seed(seed)
    for module in bundle.network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.weight, 0.8, 1.6),
                (module.bias, -0.3, 0.5),
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.1, 0.6),
            ):
                assert tensor is not None
                tensor.copy_(low + (high - low) * torch.rand(tensor.shape, generator=random))
    bundle.network.decoder.last.weight.mul_(2.0)
    own = replace(JUDGED, error=bundle.score.error) if net.judges else bundle.score
    steps = [*own.steps, *(step for score in SCORES.values() for step in score.steps)]
    ranges = {step.key: Interval(0.0, 0.5) for step in steps} | {"psnr.frame": Interval(-30.0, 0.0)}
    calibration = Calibration(
        1.0, normal=NormalRange(Interval(0.0, 0.5), ranges), thresholds={own.name: 0.5}
    )
    return replace(bundle, score=own, calibration=calibration)


@dataclass(frozen=True, slots=True)
class Inputs:
    """Inputs of `Engine.run`; each camera has its own."""

    frames: FrameStack
    items: Tensor
    reads: NDArray[np.bool_]

    def of(self, camera: int) -> Inputs:
        """One camera's."""
        part = slice(camera, camera + 1)
        return Inputs(self.frames[part], self.items[part], self.reads[part])


def inputs(net: NetConfig, cameras: int, seed: int = 0) -> Inputs:
    """Smooth moving pictures with noise; other items for each camera; every third memory off."""
    random = np.random.default_rng(seed)
    count = net.channels * (net.context + 1)
    y, x = np.mgrid[: net.height, : net.width] / 64.0
    phases = random.uniform(0.0, 6.0, (cameras, 1, 1, 1)) + 0.3 * np.arange(count)[:, None, None]
    waves = 120.0 + 80.0 * np.sin(9.0 * x + phases) * np.cos(7.0 * y - phases)
    noisy = waves + random.normal(0.0, 8.0, waves.shape)
    drawn = torch.Generator().manual_seed(seed)
    items = torch.randn(cameras, net.memory_items, net.memory_channels, generator=drawn)
    unit = nn.functional.normalize(items, dim=2)
    return Inputs(noisy.clip(0.0, 255.0).astype(np.uint8), unit, np.arange(cameras) % 3 != 2)


def engine(name: EngineName, bundle: Bundle, threads: int = 1) -> Engine:
    """On the CPU, measuring what every named score takes."""
    return open_engine(
        name, bundle, find_required_measures(bundle, list(SCORES.values())), "cpu", threads
    )


@dataclass(frozen=True, slots=True)
class Result:
    """All that an engine gives of a batch."""

    columns: NDArray[np.float32]
    heat: NDArray[np.float32]
    queries: Tensor
    pictures: Tensor

    def of(self, camera: int) -> Result:
        """One camera's."""
        part = slice(camera, camera + 1)
        return Result(self.columns[part], self.heat[part], self.queries[part], self.pictures[part])


def run(engine: Engine, given: Inputs) -> Result:
    """Measure and predict."""
    output = engine.run(given.frames, given.items, given.reads)
    pictures = engine.predict(given.frames, given.items, given.reads)
    return Result(output.columns, output.heat, output.queries, pictures)


def assert_near(one: Result, other: Result, tolerance: float) -> None:
    """All of it: measures relative to themselves and to 1, whichever is larger; the rest to 1."""
    for name in ("pictures", "queries", "heat"):
        np.testing.assert_allclose(
            getattr(one, name), getattr(other, name), rtol=0.0, atol=tolerance, err_msg=name
        )
    np.testing.assert_allclose(one.columns, other.columns, rtol=tolerance, atol=tolerance)
