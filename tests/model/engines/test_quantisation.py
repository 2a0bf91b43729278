"""8 bits: ranges of convolutions, the compiled form compared with PyTorch's, trained weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from model.bundles import bundle as bundles
from model.bundles.bundle import Bundle
from model.bundles.calibration_config import InputRange
from model.bundles.catalog import find_bundle
from model.bundles.range_names import list_convolution_names
from model.engines.choice import LEAST_RANK_CORRELATION, make_program
from model.engines.engine import EngineProgram
from model.engines.names import EngineName
from model.engines.network_passes import LiveNetwork
from model.engines.openvino_engine import OpenVinoEngine
from model.engines.quantisation import (
    LEVELS,
    WEIGHT_LEVELS,
    find_convolutions,
    measure_ranges,
    quantise_network,
)
from model.engines.required_measures import find_required_measures
from model.engines.torch_engine import TorchEngine
from model.footage.clips import Clip
from model.frames import fit
from model.scoring.score_config import SCORES
from model.training import bundle_quantisation
from service.tools.demo.walkway import draw_frames
from tests.model.engines.programs import FORMS, Inputs, inputs, lively_bundle, run

UNIT = InputRange(0.0, 1.0)


def _live(bundle: Bundle) -> LiveNetwork:
    return LiveNetwork(bundle.network, bundle.config).eval()


def _ranges(bundle: Bundle, given: Inputs) -> dict[str, InputRange]:
    reads = torch.from_numpy(given.reads)
    return measure_ranges(_live(bundle), [(torch.from_numpy(given.frames), given.items, reads)])


@pytest.mark.parametrize("form", FORMS)
def test_convolutions_have_the_names_that_a_bundle_is_checked_for(form: str) -> None:
    bundle = lively_bundle(FORMS[form])
    assert set(find_convolutions(_live(bundle))) == list_convolution_names(bundle.network)


def _layers() -> list[tuple[str, nn.Module, nn.Conv2d | nn.ConvTranspose2d]]:
    """The quantised layers of a small network, each with the one that it stands for."""
    network = _live(lively_bundle())
    layers = find_convolutions(network)
    replaced = quantise_network(network, dict.fromkeys(layers, UNIT))
    return [(name, replaced.get_submodule(name), layer) for name, layer in layers.items()]


def test_weights_are_whole_multiples_of_a_scale_and_at_most_63_of_it() -> None:
    """As products with a single 1 show them."""
    for name, layer, original in _layers():
        ones = torch.zeros(original.in_channels, original.in_channels, 3, 3)
        ones[range(original.in_channels), range(original.in_channels), 1, 1] = 1.0
        with torch.inference_mode():
            found, expected = layer(ones), original(ones)
        assert original.bias is not None
        products = found - original.bias[:, None, None]  # (channels in, channels out, h, w)
        exact = expected - original.bias[:, None, None]
        scales = exact.abs().amax(dim=(0, 2, 3), keepdim=True) / WEIGHT_LEVELS
        levels = products / scales
        np.testing.assert_allclose(levels, levels.round(), rtol=0.0, atol=2e-3, err_msg=name)
        assert float(levels.abs().max().round()) == WEIGHT_LEVELS
        assert float((products - exact).abs().div(scales).max()) < 0.51


def _steps(span: InputRange, values: torch.Tensor) -> torch.Tensor:
    """What a convolution that passes its first channel through makes of the values."""
    network = _live(lively_bundle())
    name = "encoder.stages.0.3"
    layer = find_convolutions(network)[name]
    layer.weight.zero_()
    layer.weight[0, 0, 1, 1] = 1.0
    assert layer.bias is not None
    layer.bias.zero_()
    passing = quantise_network(
        network, dict.fromkeys(find_convolutions(network), span)
    ).get_submodule(name)
    row = torch.zeros(1, layer.in_channels, 1, len(values))
    row[0, 0, 0] = values
    with torch.inference_mode():
        made: torch.Tensor = passing(row)[0, 0, 0]
    return made


def test_inputs_stand_on_256_levels_of_the_range_of_which_0_is_one() -> None:
    values = torch.linspace(-3.0, 3.0, 5001)
    for span, low, step in (
        (InputRange(0.0, 2.0), 0.0, 2.0 / LEVELS),
        (InputRange(-1.0, 2.0), -2.0 * 128 / 127, 2.0 / 127),
        (InputRange(-2.0, 1.0), -2.0 * 128 / 127, 2.0 / 127),
    ):
        made = _steps(span, values)
        assert len(made.unique()) == 256
        assert 0.0 in made
        assert (float(made.min()), float(made.max())) == (
            pytest.approx(low, rel=1e-5),
            pytest.approx(2.0, rel=1e-5),
        )
        inside = (values >= low) & (values <= 2.0)
        assert float((made - values)[inside].abs().max()) <= 0.501 * step


def test_ranges_hold_0_and_what_inputs_reach() -> None:
    bundle = lively_bundle()
    given = inputs(bundle.config, 2)
    ranges = _ranges(bundle, given)
    assert set(ranges) == list_convolution_names(bundle.network)
    assert ranges["encoder.stages.0.3"].low == 0.0  # after a ReLU
    assert ranges["trunk.stages.0.0"].low < 0.0  # unit vectors
    reached: list[float] = []
    live = _live(bundle)
    layer = find_convolutions(live)["encoder.stages.0.3"]
    layer.register_forward_pre_hook(lambda _, x: reached.append(float(x[0].max())))
    live(torch.from_numpy(given.frames), given.items, torch.from_numpy(given.reads))
    high = ranges["encoder.stages.0.3"].high
    assert 0.5 * reached[0] < high <= reached[0]


def test_ranges_need_footage() -> None:
    with pytest.raises(ValueError, match="no normal footage"):
        measure_ranges(_live(lively_bundle()), [])


def test_a_missing_range_is_named() -> None:
    network = _live(lively_bundle())
    ranges = dict.fromkeys(find_convolutions(network), UNIT)
    del ranges["trunk.ups.1.0"]
    with pytest.raises(ValueError, match=r"8-bit ranges lack trunk\.ups\.1\.0"):
        quantise_network(network, ranges)


@pytest.mark.parametrize("form", list(FORMS)[1:4])
def test_compiled_to_8_bits_it_gives_what_the_levels_say(form: str) -> None:
    """But for a value between two levels now and then, which may be rounded either way: MemAE's
    shrinkage makes much of one, and the others agree to 1e-7."""
    bundle = lively_bundle(FORMS[form])
    given = inputs(bundle.config, 2)
    made = make_program(bundle, find_required_measures(bundle, list(SCORES.values())))
    emulated = EngineProgram(
        made.config, quantise_network(made.network, _ranges(bundle, given)), made.measuring
    )
    place = torch.device("cpu")
    compiled, levels, exact = (
        run(each, given)
        for each in (
            OpenVinoEngine(emulated, EngineName.OPENVINO_INT8, bundle.items, 1),
            TorchEngine(emulated, EngineName.TORCH_FP32, place),
            TorchEngine(made, EngineName.TORCH_FP32, place),
        )
    )
    apart = (compiled.pictures - levels.pictures).abs()
    coarse = (exact.pictures - levels.pictures).abs()
    assert float(apart.mean()) < 0.3 * float(coarse.mean())
    assert float(apart.max()) <= float(coarse.max())
    columns = np.abs(compiled.columns - levels.columns).max()
    assert columns < 0.1 * np.abs(exact.columns - levels.columns).max()


@pytest.fixture(scope="module")
def walkway() -> list[Clip]:
    """Normal scenes of the demo, which its network wasn't trained on."""
    shape = bundles.load(find_bundle("demo")).frame_shape
    return [
        Clip(str(seed), np.stack([fit(picture, shape) for picture in draw_frames(seed, 3.0)]))
        for seed in (901, 902)
    ]


def test_trained_weights_score_in_8_bits_as_in_fp32(walkway: list[Clip]) -> None:
    bundle = bundle_quantisation.quantise_bundle(bundles.load(find_bundle("demo")), walkway)
    assert bundle.int8 is not None
    assert bundle.int8.frames == sum(len(clip) - bundle.config.context for clip in walkway)
    assert LEAST_RANK_CORRELATION <= bundle.int8.rank_correlation < 1.0
