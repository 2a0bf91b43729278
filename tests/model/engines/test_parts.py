"""Engines that run the network on a part of a picture give what whole pictures give."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from model.bundles.bundle import Bundle
from model.detect.detector import Detector
from model.engines.choice import make_program
from model.engines.crops import Crop, Crops, Extent
from model.engines.engine import Engine, EngineOutput
from model.engines.kept_outputs import KeptOutputs, PicturePart
from model.engines.names import EngineName
from model.engines.required_measures import find_required_measures
from model.engines.torch_engine import CudaEngine
from model.network.network_config import NetConfig
from model.scene.features import SIDE
from model.scoring.score_config import SCORES
from tests.model.engines.programs import FORMS, Inputs, engine, inputs, lively_bundle
from tests.support.bundles import small_bundle

ROUNDING = 5e-5
NET = NetConfig(base_width=2, height=256, width=256, judges=True)
LEFT = Crop(Extent(0, 32, 0, 32), Extent(0, 24, 0, 13), (slice(0, 64), slice(0, 26)), 0.75)
"""Of `NET`, 256 x 192 pixels, of which the last 88 aren't used: with patch 1, what the network
gives depends on what is up to some 80 pixels away."""
ENGINES = (EngineName.TORCH_FP32, EngineName.OPENVINO_FP32)


@dataclass
class Set:
    """A bundle in one engine, on three threads."""

    bundle: Bundle
    engine: Engine


@pytest.fixture(scope="module", params=ENGINES)
def large(request: pytest.FixtureRequest) -> Set:
    bundle = lively_bundle(NET)
    return Set(bundle, engine(request.param, bundle, threads=3))


@pytest.fixture(scope="module", params=[(e, f) for e in ENGINES for f in list(FORMS)[:3]])
def small(request: pytest.FixtureRequest) -> Iterator[Set]:
    """A program for each network form that predicts."""
    name, form = request.param
    bundle = lively_bundle(replace(FORMS[form], height=128, width=128))
    yield Set(bundle, engine(name, bundle, threads=3))


def keep_whole(made: Set, given: Inputs, camera: int = 0) -> KeptOutputs:
    """Returns what is kept of a camera after a whole picture."""
    kept = KeptOutputs(made.bundle.config)
    one = given.of(camera)
    made.engine.run(one.frames, one.items, one.reads, None, [PicturePart(kept, None)])
    return kept


def crop_at(config: NetConfig, row: int, column: int, height: int = 2, width: int = 2) -> Crop:
    """Around places of `Features.thumb`."""
    places = np.zeros((SIDE, SIDE), np.uint8)
    places[row : row + height, column : column + width] = 1
    crop = Crops(config).find(places)
    assert crop is not None
    return crop


def changed(given: Inputs, rows: slice, columns: slice) -> Inputs:
    """Something else stands there in all frames."""
    frames = given.frames.copy()
    frames[..., rows, columns] = 255 - frames[..., rows, columns]
    return replace(given, frames=frames)


def list_pixels(output: EngineOutput) -> list[torch.Tensor]:
    assert output.pixels is not None
    judged = output.pixels.judged
    return [output.pixels.predicted, *([] if judged is None else [judged])]


def test_a_part_whose_margin_holds_all_that_is_seen_gives_what_the_whole_gives(large: Set) -> None:
    before = inputs(NET, 1)
    after = changed(before, slice(100, 130), slice(0, 8))
    kept = keep_whole(large, before)
    with_pixels = np.ones(1, np.bool_)
    whole = large.engine.run(after.frames, after.items, after.reads, with_pixels)
    composite = large.engine.run(
        after.frames, after.items, after.reads, with_pixels, [PicturePart(kept, LEFT)]
    )
    np.testing.assert_allclose(composite.columns, whole.columns, rtol=ROUNDING, atol=ROUNDING)
    np.testing.assert_allclose(composite.heat, whole.heat, rtol=0.0, atol=ROUNDING)
    np.testing.assert_allclose(composite.queries, whole.queries, rtol=0.0, atol=ROUNDING)
    for mine, theirs in zip(list_pixels(composite), list_pixels(whole), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0.0, atol=ROUNDING)
    # And the change is large enough for all this to say something.
    old = large.engine.run(before.frames, before.items, before.reads, with_pixels)
    assert float((list_pixels(old)[0] - list_pixels(whole)[0]).abs().max()) > 100 * ROUNDING
    assert float((old.queries - whole.queries).abs().max()) > 100 * ROUNDING


def test_what_is_outside_of_the_part_stays_to_the_bit(small: Set) -> None:
    config = small.bundle.config
    before, after = inputs(config, 1), inputs(config, 1, seed=1)
    kept = keep_whole(small, before)
    old = [array.copy() for array in kept.arrays]
    crop = crop_at(config, 30, 40)
    with_pixels = np.ones(1, np.bool_)
    output = small.engine.run(
        after.frames, after.items, after.reads, with_pixels, [PicturePart(kept, crop)]
    )
    cell = config.downscale
    pixels = np.zeros((config.height, config.width), np.bool_)
    pixels[crop.rows.slice_used(cell), crop.columns.slice_used(cell)] = True
    queries = pixels[::cell, ::cell].ravel()
    for mine, theirs, inside in zip(
        kept.arrays, old, (pixels, queries[:, None], pixels), strict=False
    ):
        same = mine == theirs
        there = np.broadcast_to(inside, mine.shape)
        assert same[~there].all()
        assert same[there].mean() < 0.5
    # Outputs, measures and pixels are those of that composite.
    assert np.array_equal(output.queries.numpy(), kept.queries)
    for given, mine in zip(list_pixels(output), (kept.predicted, kept.judged), strict=False):
        assert np.array_equal(given.numpy(), mine)
    required = find_required_measures(small.bundle, list(SCORES.values()))
    predicted, kept_queries, *judged = map(torch.from_numpy, kept.arrays)
    columns, heat = make_program(small.bundle, required).measuring(
        predicted, kept_queries, after.items, torch.from_numpy(after.frames), *judged
    )
    np.testing.assert_allclose(output.columns, columns, rtol=ROUNDING, atol=ROUNDING)
    np.testing.assert_allclose(output.heat, heat, rtol=0.0, atol=ROUNDING)


def test_cameras_of_a_batch_get_what_each_gets_alone(small: Set) -> None:
    """Parts of several shapes, whole pictures that are kept, and one that isn't."""
    config = small.bundle.config
    before, after = inputs(config, 6, seed=2), inputs(config, 6, seed=3)
    crops = [
        crop_at(config, 30, 40),
        None,
        crop_at(config, 2, 2, height=3, width=55),
        crop_at(config, 5, 20, height=54),
        None,
        crop_at(config, 61, 61),
    ]
    assert len({crop.shape for crop in crops if crop}) == 3

    def parts() -> list[PicturePart | None]:
        made: list[PicturePart | None] = [
            PicturePart(keep_whole(small, before, camera), crop)
            for camera, crop in enumerate(crops)
        ]
        made[4] = None
        return made

    with_pixels = np.array([True, False, True, True, True, False])
    together, one_by_one = parts(), parts()
    output = small.engine.run(after.frames, after.items, after.reads, with_pixels, together)
    at = 0
    for camera, part in enumerate(one_by_one):
        one, here = after.of(camera), slice(camera, camera + 1)
        alone = small.engine.run(one.frames, one.items, one.reads, with_pixels[here], [part])
        np.testing.assert_allclose(
            output.columns[here], alone.columns, rtol=ROUNDING, atol=ROUNDING
        )
        np.testing.assert_allclose(output.heat[here], alone.heat, rtol=0.0, atol=ROUNDING)
        np.testing.assert_allclose(output.queries[here], alone.queries, rtol=0.0, atol=ROUNDING)
        if with_pixels[camera]:
            for mine, theirs in zip(list_pixels(output), list_pixels(alone), strict=True):
                np.testing.assert_allclose(mine[at], theirs[0], rtol=0.0, atol=ROUNDING)
            at += 1
        other = together[camera]
        if part is not None and other is not None:
            for mine, theirs in zip(other.kept.arrays, part.kept.arrays, strict=True):
                np.testing.assert_allclose(mine, theirs, rtol=0.0, atol=ROUNDING)


def test_a_whole_picture_that_is_kept_is_as_one_that_is_not(small: Set) -> None:
    config = small.bundle.config
    given = inputs(config, 1, seed=4)
    kept = KeptOutputs(config)
    plain = small.engine.run(given.frames, given.items, given.reads)
    output = small.engine.run(
        given.frames, given.items, given.reads, None, [PicturePart(kept, None)]
    )
    assert np.array_equal(output.columns, plain.columns)
    assert np.array_equal(output.heat, plain.heat)
    assert np.array_equal(kept.queries, plain.queries.numpy())
    # A lane that measured what is kept measures its own again.
    small.engine.run(
        given.frames,
        given.items,
        given.reads,
        None,
        [PicturePart(KeptOutputs(config), crop_at(config, 30, 30))],
    )
    again = small.engine.run(given.frames, given.items, given.reads)
    assert np.array_equal(again.columns, plain.columns)


def test_both_engines_give_the_same_of_a_part() -> None:
    bundle = lively_bundle(replace(FORMS["prediction, RGB, judges, patch 2"], height=128))
    config = bundle.config
    before, after = inputs(config, 1), inputs(config, 1, seed=1)
    outputs, kept = [], []
    for name in ENGINES:
        made = Set(bundle, engine(name, bundle))
        made.engine.prepare_parts()
        kept.append(keep_whole(made, before))
        part = PicturePart(kept[-1], crop_at(config, 50, 2))
        outputs.append(made.engine.run(after.frames, after.items, after.reads, None, [part]))
    one, other = outputs
    np.testing.assert_allclose(one.columns, other.columns, rtol=ROUNDING, atol=ROUNDING)
    np.testing.assert_allclose(one.heat, other.heat, rtol=0.0, atol=ROUNDING)
    for mine, theirs in zip(kept[0].arrays, kept[1].arrays, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0.0, atol=ROUNDING)


def test_a_gpu_computes_whole_pictures() -> None:
    bundle = lively_bundle()
    made = make_program(bundle, find_required_measures(bundle))
    gpu = CudaEngine(made, EngineName.CUDA_FP32, torch.device("cpu"))
    assert not gpu.computes_parts
    given = inputs(bundle.config, 1)
    with pytest.raises(ValueError, match="whole pictures"):
        gpu.run(given.frames, given.items, given.reads, None, [None])


def test_engines_may_be_made_ready_by_several_threads() -> None:
    """A model's parts are compiled while another model is loaded: PyTorch traces one at a time."""
    bundle = small_bundle()
    with ThreadPoolExecutor(3) as pool:
        made = [
            pool.submit(Detector, bundle, engine=EngineName.OPENVINO_FP32, threads=1)
            for _ in range(6)
        ]
        assert all(each.result().engine is EngineName.OPENVINO_FP32 for each in made)
