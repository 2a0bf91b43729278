"""The three losses against the reference, and what they train."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn import functional

from model.network.losses import (
    LossTerms,
    LossWeights,
    compactness_loss,
    frame_loss,
    separateness_loss,
    total_loss,
)
from model.scoring.score_config import NormForm
from tests.model import reference
from tests.model.inputs import FORMS, frame_pairs, memories, tensor

Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


@given(frame_pairs(), FORMS)
def test_frame_loss_is_the_papers(pair: Pair, form: NormForm) -> None:
    expected = reference.frame_loss(*pair, squared=form is not NormForm.NORM)
    assert frame_loss(*map(tensor, pair), form).item() == pytest.approx(expected)


@given(memories(), FORMS)
def test_compactness_is_the_papers(case: Pair, form: NormForm) -> None:
    expected = reference.distance(*case, squared=form is not NormForm.NORM)
    assert compactness_loss(*map(tensor, case), form).item() == pytest.approx(expected)


@given(memories(), FORMS, st.sampled_from([0.0, 0.1, 1.0]))
def test_separateness_is_the_papers(case: Pair, form: NormForm, margin: float) -> None:
    squared = form is not NormForm.NORM
    expected = reference.separateness_loss(*case, squared=squared, margin=margin)
    value = separateness_loss(*map(tensor, case), form, margin).item()
    assert value == pytest.approx(expected, rel=1e-6, abs=1e-9)


def _make_case() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    predicted, actual = torch.rand(2, 2, 1, 8, 8, generator=random)
    queries = functional.normalize(torch.randn(1, 12, 6, generator=random), dim=2)
    items = functional.normalize(torch.rand(1, 4, 6, generator=random), dim=2)
    return predicted.requires_grad_(), actual, queries.requires_grad_(), items.requires_grad_()


def test_the_total_is_the_weighted_sum() -> None:
    weights = LossWeights(compact=0.3, separate=0.7, margin=0.5)
    parts = total_loss(*_make_case(), LossTerms(weights, NormForm.MEAN_SQUARE))
    total = parts.frame + 0.3 * parts.compact + 0.7 * parts.separate
    torch.testing.assert_close(parts.total, total)


def test_separateness_may_have_a_norm_of_its_own() -> None:
    case = _make_case()
    terms = LossTerms(form=NormForm.MEAN_SQUARE, separation_form=NormForm.NORM)
    parts = total_loss(*case, terms)
    torch.testing.assert_close(
        parts.separate, separateness_loss(case[2], case[3], NormForm.NORM, 1.0)
    )
    torch.testing.assert_close(
        parts.compact, compactness_loss(case[2], case[3], NormForm.MEAN_SQUARE)
    )


def test_losses_train_the_encoder_and_leave_the_items_alone() -> None:
    predicted, actual, queries, items = _make_case()
    parts = total_loss(predicted, actual, queries, items, LossTerms(form=NormForm.NORM))
    gradients = torch.autograd.grad(parts.total, (predicted, queries, items), allow_unused=True)
    assert gradients[0] is not None and gradients[0].any()
    assert gradients[1] is not None and gradients[1].any()
    assert gradients[2] is None


@pytest.mark.parametrize("form", list(NormForm))
def test_gradients_stay_finite_where_an_error_is_zero(form: NormForm) -> None:
    frame = torch.rand(1, 1, 4, 4).requires_grad_()
    items = functional.normalize(torch.rand(1, 3, 5), dim=2)
    queries = items[:, :2].clone().requires_grad_()
    parts = total_loss(frame, frame.detach(), queries, items, LossTerms(form=form))
    for gradient in torch.autograd.grad(parts.total, (frame, queries)):
        assert bool(gradient.isfinite().all())
