"""The three losses of training (MNAD, section 3.3); means, so that batch size is no factor.

The items are constants here: the losses train the encoder, the update trains the items.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from model.network import mnad_memory
from model.scoring.measures import norm
from model.scoring.score_config import NormForm


@dataclass(frozen=True, slots=True)
class LossWeights:
    """λ_c, λ_s and the margin α."""

    compact: float = 0.1
    separate: float = 0.1
    margin: float = 1.0


@dataclass(frozen=True, slots=True)
class LossTerms:
    """The weights and norms of the losses."""

    weights: LossWeights = field(default_factory=LossWeights)
    form: NormForm = NormForm.MEAN_SQUARE
    separation_form: NormForm | None = None
    """The norm in L_separate; None means `form`."""


@dataclass(frozen=True, slots=True)
class LossParts:
    """The total loss and its parts without their weights, each a scalar."""

    total: Tensor
    frame: Tensor
    compact: Tensor
    separate: Tensor
    judgement: Tensor | None = None


def frame_loss(predicted: Tensor, actual: Tensor, form: NormForm) -> Tensor:
    """L_rec = ||predicted - actual||: frames (B, C, H, W) in [-1, 1], to a scalar."""
    return norm((predicted - actual).flatten(1), form, dim=1).mean()


def compactness_loss(queries: Tensor, items: Tensor, form: NormForm) -> Tensor:
    """L_compact: mean over queries of ||q^k - p_p||, p_p the nearest item."""
    fixed = items.detach()
    chosen = mnad_memory.select(fixed, mnad_memory.find_nearest(queries.detach(), fixed)[..., 0])
    return norm(queries - chosen, form, dim=2).mean()


def separateness_loss(queries: Tensor, items: Tensor, form: NormForm, margin: float) -> Tensor:
    """L_separate: mean of [ ||q^k - p_p|| - ||q^k - p_n|| + α ]_+, p_n the second nearest item."""
    fixed = items.detach()
    indices = mnad_memory.find_nearest(queries.detach(), fixed, 2)
    first = norm(queries - mnad_memory.select(fixed, indices[..., 0]), form, dim=2)
    second = norm(queries - mnad_memory.select(fixed, indices[..., 1]), form, dim=2)
    return torch.relu(first - second + margin).mean()


def total_loss(
    predicted: Tensor, actual: Tensor, queries: Tensor, items: Tensor, terms: LossTerms
) -> LossParts:
    """L = L_rec + λ_c L_compact + λ_s L_separate.

    Args:
        predicted, actual: (B, C, H, W) in [-1, 1].
        queries: (B, K, C), unit length. items: (B or 1, M, C), unit length.
    """
    weights, form = terms.weights, terms.form
    frame = frame_loss(predicted, actual, form)
    compact = compactness_loss(queries, items, form)
    separate = separateness_loss(queries, items, terms.separation_form or form, weights.margin)
    total = frame + weights.compact * compact + weights.separate * separate
    return LossParts(total, frame, compact, separate)


JUDGEMENT_BALANCE = 3.0
"""The weight of an abnormal pixel relative to a normal one: there are few of them."""


def judgement_loss(logits: Tensor, abnormal: Tensor) -> Tensor:
    """Cross entropy of the judgement: both (B, 1, H, W), to a scalar; `abnormal` is 0 or 1."""
    balance = logits.new_tensor(JUDGEMENT_BALANCE)
    return functional.binary_cross_entropy_with_logits(logits, abnormal, pos_weight=balance)
