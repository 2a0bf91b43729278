"""P, D, E_t and the error map against the reference, at the edges, and camera by camera."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from numpy.typing import NDArray

from model.network import mnad_memory
from model.scoring import measures
from model.scoring.score_config import NormForm, PsnrPeak
from tests.model import reference
from tests.model.inputs import FORMS, frame_pairs, memories, tensor

Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


@given(frame_pairs(), FORMS)
def test_gate_error_is_the_papers(pair: Pair, form: NormForm) -> None:
    value = measures.gate_error(*map(tensor, pair), form).item()
    if form is NormForm.ELEMENT_SQUARE:  # each value as a pixel of its own
        pair = (pair[0].reshape(1, -1, pair[0].shape[2]), pair[1].reshape(1, -1, pair[1].shape[2]))
    expected = reference.gate_error(*pair, squared=form is not NormForm.NORM)
    # 1 - exp(-e) loses digits where e is small; the reference is as the paper writes it.
    assert value == pytest.approx(expected, rel=1e-6, abs=1e-9)


@given(frame_pairs())
def test_psnr_is_the_papers(pair: Pair) -> None:
    assert measures.psnr(*map(tensor, pair)).item() == pytest.approx(reference.psnr(*pair))
    unit = measures.psnr(*map(tensor, pair), PsnrPeak.UNIT).item()
    assert unit == pytest.approx(reference.psnr(*pair, peak=1.0))


@given(memories(), FORMS)
def test_distance_is_the_papers(case: Pair, form: NormForm) -> None:
    queries, items = map(tensor, case)
    chosen = mnad_memory.select(items, mnad_memory.find_nearest(queries, items)[..., 0])
    value = measures.query_distance(queries, chosen, form).item()
    expected = reference.distance(*case, squared=form is not NormForm.NORM)
    assert value == pytest.approx(expected, rel=1e-9)


@given(frame_pairs(), frame_pairs(), FORMS)
def test_a_batch_of_cameras_equals_each_alone(one: Pair, other: Pair, form: NormForm) -> None:
    other = (np.resize(other[0], one[0].shape), np.resize(other[1], one[0].shape))
    predicted, actual = (torch.cat([tensor(one[i]), tensor(other[i])]) for i in (0, 1))
    gates = measures.gate_error(predicted, actual, form)
    peaks = measures.psnr(predicted, actual)
    maps = measures.absolute_error(predicted, actual)
    for index, pair in enumerate((one, other)):
        alone = tuple(map(tensor, pair))
        torch.testing.assert_close(gates[index, None], measures.gate_error(*alone, form))
        torch.testing.assert_close(peaks[index, None], measures.psnr(*alone))
        torch.testing.assert_close(maps[index, None], measures.absolute_error(*alone))


@pytest.mark.parametrize("form", list(NormForm))
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_equal_frames_have_no_error(level: float, form: NormForm) -> None:
    frame = torch.full((1, 1, 4, 4), level)
    assert measures.gate_error(frame, frame, form).item() == 0.0
    assert measures.psnr(frame, frame, PsnrPeak.UNIT).item() == pytest.approx(100.0)
    assert not measures.absolute_error(frame, frame).any()


def test_a_black_frame_has_a_finite_psnr() -> None:
    black = torch.zeros(1, 1, 4, 4)
    assert math.isfinite(measures.psnr(black + 0.5, black).item())
    assert math.isfinite(measures.psnr(black, black).item())


def test_a_large_error_weighs_more_in_the_gate_than_in_the_mean() -> None:
    actual = torch.zeros(1, 1, 10, 10)
    spot = actual.clone()
    spot[0, 0, 0, 0] = 1.0
    assert measures.gate_error(spot, actual, NormForm.MEAN_SQUARE).item() == pytest.approx(1.0)
    assert (spot - actual).square().mean().item() == pytest.approx(0.01)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_frames_that_are_no_numbers_are_refused(bad: float) -> None:
    good = torch.full((2, 1, 4, 4), 0.5)
    damaged = good.clone()
    damaged[1, 0, 2, 2] = bad
    for pair in ((damaged, good), (good, damaged)):
        with pytest.raises(ValueError, match="finite"):
            measures.psnr(*pair)
        for form in NormForm:
            with pytest.raises(ValueError, match="finite"):
                measures.gate_error(*pair, form)


@pytest.mark.parametrize("form", list(NormForm))
def test_queries_that_are_no_numbers_are_refused(form: NormForm) -> None:
    items = torch.ones(1, 3, 4)
    with pytest.raises(ValueError, match="finite"):
        measures.query_distance(items * float("nan"), items, form)


def test_unequal_shapes_are_refused() -> None:
    one, other = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 5)
    with pytest.raises(ValueError, match=r"\(1, 1, 4, 4\).*\(1, 1, 4, 5\)"):
        measures.psnr(one, other)
    with pytest.raises(ValueError, match="shape"):
        measures.gate_error(one, other, NormForm.NORM)
    with pytest.raises(ValueError, match="shape"):
        measures.absolute_error(one, other)
    with pytest.raises(ValueError, match="shape"):
        measures.query_distance(torch.zeros(1, 5, 4), torch.zeros(1, 1, 4), NormForm.NORM)
