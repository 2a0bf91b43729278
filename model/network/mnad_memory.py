"""The memory of normal patterns: read, update, nearest items; pure functions, batched over cameras.

Shapes: B cameras, K queries of a frame, M items, C channels. Queries and items have unit length.
Every softmax over k and every maximum over U^m runs within one camera, never over the batch.
Equations: MNAD (Park, Noh, Ham, CVPR 2020), section 3.2.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def draw_items(count: int, channels: int, generator: torch.Generator) -> Tensor:
    """Draw items from [0, 1) and scale them to unit length: (1, count, channels), float32."""
    return functional.normalize(torch.rand(1, count, channels, generator=generator), dim=2)


def compute_similarity(queries: Tensor, items: Tensor) -> Tensor:
    """Compute s^{k,m} = p_m . q^k: (B, K, C) and (B or 1, M, C) to (B, K, M)."""
    return queries @ items.transpose(1, 2)


def read(queries: Tensor, items: Tensor) -> Tensor:
    """Answer each query from the items: p^k = sum_m softmax_m(s^{k,m}) p_m.

    Args:
        queries: (B, K, C). items: (B or 1, M, C).
    Returns: (B, K, C), each a mixture of the camera's items.
    """
    return compute_similarity(queries, items).softmax(dim=2) @ items


def find_nearest(queries: Tensor, items: Tensor, count: int = 1) -> Tensor:
    """Find each query's `count` most similar items, nearest first: (B, K, count), int64."""
    return compute_similarity(queries, items).topk(count, dim=2).indices


def select(items: Tensor, indices: Tensor) -> Tensor:
    """Select the items at indices (B, K), out of (B or 1, M, C): (B, K, C)."""
    batch, queries = indices.shape
    channels = items.shape[2]
    return items.expand(batch, -1, -1).gather(
        1, indices[..., None].expand(batch, queries, channels)
    )


def update(queries: Tensor, items: Tensor, *, reference_maximum: bool = False) -> Tensor:
    """Pull each item towards the queries that chose it.

    p_m <- f(p_m + sum_{k in U^m} v'^{k,m} q^k), f the L2 norm, U^m the queries nearest to p_m,
    v'^{k,m} = v^{k,m} / max_{k' in U^m} v^{k',m}, v = softmax of s over k.
    An item that no query chose comes back bit for bit.

    Args:
        queries: (B, K, C), unit length. items: (B, M, C), unit length.
        reference_maximum: divide by the maximum over all k, as the reference implementation does
            instead of over U^m: queries that chose another item then weaken the step.
    Returns: (B, M, C), unit length.
    Raises: ValueError: a query or an item is not finite.
    """
    scores = compute_similarity(queries, items)  # (B, K, M)
    chosen = functional.one_hot(scores.argmax(dim=2), items.shape[1]).bool()
    if not reference_maximum:
        scores = scores.masked_fill(~chosen, -torch.inf)
    # The softmax's denominator is the same for every k, so it cancels in v'.
    weights = (scores - scores.amax(dim=1, keepdim=True)).exp()
    weights = weights.masked_fill(~chosen, 0.0)  # an item without queries gave inf - inf
    moved = functional.normalize(items + weights.transpose(1, 2) @ queries, dim=2)
    if not bool(moved.isfinite().all()):
        raise ValueError("queries and items must be finite")
    return torch.where(chosen.any(dim=1)[..., None], moved, items)


def measure_usage(queries: Tensor, items: Tensor) -> Tensor:
    """Compute the share of the queries whose nearest item is m: (B, M), each row sums to 1."""
    chosen = find_nearest(queries, items)[..., 0]
    counts = torch.zeros(len(queries), items.shape[1], device=queries.device)
    counts.scatter_add_(1, chosen, torch.ones_like(chosen, dtype=counts.dtype))
    return counts / queries.shape[1]
