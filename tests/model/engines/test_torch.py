"""PyTorch's engines: fp32 against the network as trained, bf16, and a GPU's logic on a CPU."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from model.bundles.bundle import Bundle
from model.engines.choice import make_program
from model.engines.engine import Engine
from model.engines.names import EngineName
from model.engines.required_measures import find_required_measures
from model.engines.torch_engine import BATCHES, CudaEngine
from model.network.network_config import Task
from model.scoring.score_config import SCORES
from tests.model.engines.programs import FORMS, assert_near, engine, inputs, lively_bundle, run

ROUNDING = 2e-5
HALF = 3e-2
"""Error of bf16, whose numbers have 8 bits, through a network; 8e-3 was measured."""


def test_fp32_predicts_what_the_network_as_trained_predicts(bundle: Bundle, exact: Engine) -> None:
    """Whose batch norms aren't folded, and whose last convolution is one."""
    given, net = inputs(bundle.config, 2), bundle.config
    frames = torch.from_numpy(given.frames)
    known = frames[:, : -net.channels] if net.task is Task.PREDICTION else frames
    with torch.inference_mode():
        made, queries = bundle.network(known / 255.0 * 2.0 - 1.0, given.items)
    found = run(exact, given)
    pictures = (made[:, : net.channels] + 1.0) / 2.0
    np.testing.assert_allclose(found.pictures, pictures, rtol=0.0, atol=ROUNDING)
    np.testing.assert_allclose(found.queries, queries, rtol=0.0, atol=ROUNDING)


def test_bf16_is_near_fp32_on_any_processor(bundle: Bundle, exact: Engine) -> None:
    given = inputs(bundle.config, 3)
    found, expected = run(engine(EngineName.TORCH_BF16, bundle), given), run(exact, given)
    assert_near(found, expected, HALF)
    assert not np.array_equal(found.pictures, expected.pictures)
    assert found.queries.dtype == torch.float32


@pytest.fixture(scope="module", params=["MNAD", "MemAE"])
def any_bundle(request: pytest.FixtureRequest) -> Bundle:
    """One of each memory."""
    names = {"MNAD": "prediction, RGB, judges, patch 2", "MemAE": "prediction, MemAE, judges"}
    return lively_bundle(FORMS[names[request.param]])


def _cuda(bundle: Bundle, name: EngineName = EngineName.CUDA_FP32) -> CudaEngine:
    required = find_required_measures(bundle, list(SCORES.values()))
    return CudaEngine(make_program(bundle, required), name, torch.device("cpu"))


def test_the_gpus_engine_gives_what_torch_gives_in_batches_of_any_size(any_bundle: Bundle) -> None:
    """One engine for all, whose places hold what earlier batches left in them."""
    gpu, exact = _cuda(any_bundle), engine(EngineName.TORCH_FP32, any_bundle)
    for cameras in (16, 3, 1, 17, 40, 3):
        given = inputs(any_bundle.config, cameras, seed=cameras)
        found = run(gpu, given)
        assert len(found.columns) == len(found.heat) == len(found.queries) == cameras
        assert_near(found, run(exact, given), ROUNDING)


@pytest.mark.parametrize("cameras", [1, 3, BATCHES[-1] + 2])
def test_the_gpus_engine_takes_items_for_all(cameras: int, any_bundle: Bundle) -> None:
    given = inputs(any_bundle.config, cameras)
    shared = replace(given, items=given.items[:1])
    exact = engine(EngineName.TORCH_FP32, any_bundle)
    assert_near(run(_cuda(any_bundle), shared), run(exact, shared), ROUNDING)


@pytest.mark.parametrize("name", [EngineName.CUDA_BF16, EngineName.CUDA_FP16])
def test_the_gpus_engine_in_half_precision_is_near_fp32(
    name: EngineName, any_bundle: Bundle
) -> None:
    given = inputs(any_bundle.config, 3)
    exact = run(engine(EngineName.TORCH_FP32, any_bundle), given)
    found = run(_cuda(any_bundle, name), given)
    assert_near(found, exact, HALF)
    assert not np.array_equal(found.pictures, exact.pictures)


def test_results_stay_when_the_gpus_engine_runs_again(any_bundle: Bundle) -> None:
    gpu = _cuda(any_bundle)
    given, other = (inputs(any_bundle.config, 3, seed=seed) for seed in (0, 1))
    output = gpu.run(given.frames, given.items, given.reads)
    kept = output.columns.copy(), output.heat.copy(), output.queries.clone()
    gpu.run(other.frames, other.items, other.reads)
    assert np.array_equal(output.columns, kept[0])
    assert np.array_equal(output.heat, kept[1])
    assert torch.equal(output.queries, kept[2])
