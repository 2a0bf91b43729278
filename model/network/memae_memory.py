"""MemAE's memory: many items that gradients learn, few of which answer a query.

Shapes: B cameras, K queries, N items, C channels. Equations: MemAE (Gong et al., ICCV 2019),
sections 3.3 and 3.4. Queries have unit length here as in MNAD, which cosines don't notice; items
have any length.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from model.network.losses import LossParts, frame_loss
from model.scoring.score_config import NormForm

ENTROPY_WEIGHT = 2e-4
"""α of the paper."""

_TINY = 1e-12


def draw_items(count: int, channels: int, generator: torch.Generator) -> Tensor:
    """Draw normal vectors of expected length 1, shape (1, count, channels), float32."""
    return torch.randn(1, count, channels, generator=generator) / math.sqrt(channels)


def weigh_items(queries: Tensor, items: Tensor, threshold: float) -> Tensor:
    """Compute sparse weights of the items for each query (eqs. 4 to 7).

    w^{k,n} = softmax over n of cos(q^k, m_n);
    w' = max(w - λ, 0) w / (|w - λ| + ε), the hard shrinkage; then w' / ||w'||_1.

    Args:
        queries: (B, K, C). items: (B or 1, N, C). threshold: λ, from 1/N to 3/N in the paper.
    Returns: (B, K, N), >= 0; each row sums to 1, or is 0 where no weight exceeds λ.
    """
    cosine = functional.normalize(queries, dim=2) @ functional.normalize(items, dim=2).transpose(
        1, 2
    )
    weights = cosine.softmax(dim=2)
    above = weights - threshold
    shrunk = torch.relu(above) * weights / (above.abs() + _TINY)
    return functional.normalize(shrunk, p=1.0, dim=2)


def read(queries: Tensor, items: Tensor, threshold: float) -> Tensor:
    """Answer each query from the items: z^k = sum_n w'^{k,n} m_n (eq. 3); (B, K, C)."""
    return weigh_items(queries, items, threshold) @ items


def compute_entropy(weights: Tensor) -> Tensor:
    """Compute the mean over queries of -sum_n w'^{k,n} log w'^{k,n} (eq. 9), in nats.

    Args: weights: (B, K, N). Returns: a scalar.
    """
    logarithms = (weights + _TINY).log()  # its gradient at 0 is finite
    return -(weights * logarithms).sum(dim=2).mean()


def total_loss(
    predicted: Tensor,
    actual: Tensor,
    queries: Tensor,
    items: Tensor,
    *,
    threshold: float,
    form: NormForm,
) -> LossParts:
    """L = L_rec + α E (eq. 10); compactness and separateness are none of this memory's, so 0.

    Args:
        predicted, actual: (B, C, H, W) in [-1, 1].
        queries: (B, K, C). items: (1, N, C), which the gradient reaches.
    """
    frame = frame_loss(predicted, actual, form)
    spread = compute_entropy(weigh_items(queries, items, threshold))
    nothing = torch.zeros_like(frame)
    return LossParts(frame + ENTROPY_WEIGHT * spread, frame, nothing, nothing)
