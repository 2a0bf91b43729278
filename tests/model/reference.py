"""MNAD's equations (CVPR 2020, sections 3.2 to 3.4) in plain NumPy, one camera, loops and float64.

Written from the equations alone, and sharing no code with `model`, so that the two can be compared.
Shapes: K queries and M items of C channels; frames (C, H, W). `squared` computes each norm as a
mean of squares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def unit(vector: Array) -> Array:
    """f: the vector over its L2 norm."""
    return np.asarray(vector / math.sqrt(float((vector**2).sum())))


def norm(vector: Array, *, squared: bool) -> float:
    """||vector||, or the mean of its squares."""
    if squared:
        return float((vector**2).mean())
    return math.sqrt(float((vector**2).sum()))


def softmax(values: Sequence[float]) -> list[float]:
    """exp(s) over the sum of all exp(s)."""
    powers = [math.exp(value) for value in values]
    return [power / sum(powers) for power in powers]


def ranking(query: Array, items: Array) -> list[int]:
    """Items by similarity to the query, the nearest first."""
    return sorted(range(len(items)), key=lambda m: -float(items[m] @ query))


def read(queries: Array, items: Array) -> Array:
    """p^k = sum_m w^{k,m} p_m, w the softmax over m of p_m . q^k."""
    answers = []
    for query in queries:
        weights = softmax([float(item @ query) for item in items])
        answers.append(sum(w * item for w, item in zip(weights, items, strict=True)))
    return np.array(answers)


def update(queries: Array, items: Array, *, maximum_over_all: bool = False) -> Array:
    """p_m <- f(p_m + sum_{k in U^m} v'^{k,m} q^k); an item with empty U^m stays.

    v' is v over its maximum in U^m, or over all k, as the reference implementation has it.
    """
    result = items.copy()
    for m, item in enumerate(items):
        v = softmax([float(item @ query) for query in queries])
        chose = [k for k, query in enumerate(queries) if ranking(query, items)[0] == m]
        if chose:
            top = max(v) if maximum_over_all else max(v[k] for k in chose)
            result[m] = unit(item + sum(v[k] / top * queries[k] for k in chose))
    return result


def memae_addressing(queries: Array, items: Array, threshold: float) -> Array:
    """MemAE (ICCV 2019), eqs. 4 to 7: cosines, softmax over items, hard shrinkage, L1 norm."""
    rows = []
    for query in queries:
        cosines = [
            float(item @ query) / math.sqrt(float(item @ item) * float(query @ query))
            for item in items
        ]
        shrunk = [weight if weight > threshold else 0.0 for weight in softmax(cosines)]
        total = sum(shrunk)
        rows.append([weight / total if total else 0.0 for weight in shrunk])
    return np.array(rows)


def memae_read(queries: Array, items: Array, threshold: float) -> Array:
    """z^k = sum_n w'^{k,n} m_n."""
    rows = memae_addressing(queries, items, threshold)
    return np.array([sum(w * item for w, item in zip(row, items, strict=True)) for row in rows])


def memae_entropy(weights: Array) -> float:
    """Mean over k of -sum_n w' log w'."""
    each = [-sum(w * math.log(w) for w in map(float, row) if w > 0.0) for row in weights]
    return sum(each) / len(each)


def angle_deg(one: Array, other: Array) -> float:
    """Between two vectors."""
    return math.degrees(math.acos(max(-1.0, min(1.0, float(unit(one) @ unit(other))))))


def turned(start: Array, end: Array, degrees: float) -> Array:
    """The unit vector so many degrees from `start` on the great circle through both."""
    whole = math.radians(angle_deg(start, end))
    part = math.radians(degrees)
    return np.asarray((math.sin(whole - part) * start + math.sin(part) * end) / math.sin(whole))


def gate_error(predicted: Array, actual: Array, *, squared: bool) -> float:
    """E_t = sum_ij W_ij e_ij, W_ij = (1 - exp(-e_ij)) / sum_ij (1 - exp(-e_ij))."""
    _, height, width = actual.shape
    errors = [
        norm(predicted[:, i, j] - actual[:, i, j], squared=squared)
        for i in range(height)
        for j in range(width)
    ]
    weights = [1.0 - math.exp(-error) for error in errors]
    if sum(weights) == 0.0:
        return 0.0
    return sum(w * e for w, e in zip(weights, errors, strict=True)) / sum(weights)


def psnr(predicted: Array, actual: Array, *, peak: float | None = None) -> float:
    """P = 10 log10( max(I) / (||I' - I||^2 / N) ), its parts no less than `model` lets them be."""
    mean_square = max(float(((predicted - actual) ** 2).sum()) / actual.size, 1e-10)
    top = max(float(actual.max()), 1.0 / 255.0) if peak is None else peak
    return 10.0 * math.log10(top / mean_square)


def distance(queries: Array, items: Array, *, squared: bool) -> float:
    """D = 1/K sum_k ||q^k - p_p||, p the nearest item."""
    each = [norm(query - items[ranking(query, items)[0]], squared=squared) for query in queries]
    return sum(each) / len(each)


def frame_loss(predicted: Array, actual: Array, *, squared: bool) -> float:
    """||I' - I||."""
    return norm((predicted - actual).ravel(), squared=squared)


def separateness_loss(queries: Array, items: Array, *, squared: bool, margin: float) -> float:
    """Mean over k of [ ||q^k - p_p|| - ||q^k - p_n|| + α ]_+."""
    total = 0.0
    for query in queries:
        first, second = ranking(query, items)[:2]
        near = norm(query - items[first], squared=squared)
        total += max(0.0, near - norm(query - items[second], squared=squared) + margin)
    return total / len(queries)


def running_min_max(values: Sequence[float], low: float, high: float, least: float) -> list[float]:
    """g of each value, the extremes those of the start and of all values so far."""
    results = []
    for count in range(1, len(values) + 1):
        seen = [low, high, *values[:count]]
        span = max(max(seen) - min(seen), least)
        results.append((values[count - 1] - min(seen)) / span)
    return results
