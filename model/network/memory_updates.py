"""Applies the rules of `model.network.update_rules` to items: pure functions, batched over cameras.

Shapes: B cameras, K queries, M items, C channels; items and queries have unit length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from model.network import mnad_memory
from model.network.memories import Memory
from model.network.update_rules import Learning, UpdateRule


def update_items(queries: Tensor, items: Tensor, trained: Tensor, rule: UpdateRule) -> Tensor:
    """Compute the items after a frame below γ.

    Args:
        queries: (B, K, C). items: (B, M, C). trained: the bundle's items, (1, M, C).
    Returns: (B, M, C), unit length; for the paper's rule, `mnad_memory.update` to the bit.
    Raises: ValueError: a query or an item is not finite.
    """
    moved = mnad_memory.update(queries, items, reference_maximum=rule.reference_maximum)
    if rule.rate < 1.0:
        moved = functional.normalize(torch.lerp(items, moved, rule.rate), dim=2)
    if rule.turn_deg < 180.0:
        moved = limit_angles(moved, items, rule.turn_deg)
    if rule.pull > 0.0:
        moved = functional.normalize(torch.lerp(moved, trained, rule.pull), dim=2)
    if rule.drift_deg < 180.0:
        moved = limit_angles(moved, trained, rule.drift_deg)
    return moved


def learn_items(
    queries: Tensor,
    items: Tensor,
    trained: Tensor,
    rules: Sequence[UpdateRule],
    below: Sequence[bool],
) -> list[Tensor | None]:
    """Compute new items, (M, C), for each camera whose rule learns from its frame, else None.

    Cameras of one rule are updated together. Shapes and what is raised: as `update_items`.
    """
    results: list[Tensor | None] = [None] * len(rules)
    groups: dict[UpdateRule, list[int]] = {}
    for index, rule in enumerate(rules):
        if below[index] and rule.learning is Learning.UPDATED:
            groups.setdefault(rule, []).append(index)
    for rule, members in groups.items():
        moved = update_items(queries[members], items[members], trained, rule)
        for index, each in zip(members, moved, strict=True):
            results[index] = each.clone()  # a view would keep the whole batch alive
    return results


def measure_angles_deg(one: Tensor, other: Tensor) -> Tensor:
    """Measure the angle between unit vectors along the last dimension, in degrees, [0, 180].

    It is computed from the chord: the cosine can't tell angles below 0.02 degrees from 0.
    """
    chord = torch.linalg.vector_norm(one - other, dim=-1)
    return torch.rad2deg(2.0 * torch.asin((chord / 2.0).clamp_max(1.0)))


def limit_angles(items: Tensor, centres: Tensor, limit_deg: float) -> Tensor:
    """Bring each item that is farther than so many degrees from its centre back to that angle,
    along the great circle between the two; the others stay, bit for bit."""
    centres = centres.expand_as(items)
    cosine = (items * centres).sum(dim=-1, keepdim=True)
    across = functional.normalize(items - cosine * centres, dim=-1)  # at a right angle to centres
    limit = math.radians(limit_deg)
    inside = math.cos(limit) * centres + math.sin(limit) * across
    limited = functional.normalize(inside, dim=-1)
    return torch.where((measure_angles_deg(items, centres) > limit_deg)[..., None], limited, items)


def recall(kind: Memory, queries: Tensor, items: Tensor, reads: Tensor) -> Tensor:
    """Read each camera's memory: (B, K, C). Where it is off (`reads`, (B,), bool), every query gets
    the mean of the items, so that no query gets an answer of its own."""
    answers = kind.read(queries, items)
    return torch.where(reads[:, None, None], answers, items.mean(dim=1, keepdim=True))
