"""Random inputs for Hypothesis: frames, queries and items, alone and as a batch of cameras."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from model.scoring.score_config import NormForm

FORMS = st.sampled_from(list(NormForm))


@st.composite
def units(draw: st.DrawFn, count: int, channels: int) -> NDArray[np.float64]:
    """`count` unit vectors; sometimes all close to one another, or in few directions."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([1.0, 0.1, 0.01]))
    vectors = random.normal(size=(1, channels)) + spread * random.normal(size=(count, channels))
    if draw(st.booleans()):
        vectors = vectors[random.integers(0, max(1, count // 2), size=count)]
        vectors = vectors + 1e-3 * random.normal(size=vectors.shape)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@st.composite
def memories(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Queries (K, C) and items (M, C)."""
    channels = draw(st.integers(2, 12))
    queries = draw(units(draw(st.integers(1, 20)), channels))
    return queries, draw(units(draw(st.integers(2, 6)), channels))


@st.composite
def frame_pairs(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A predicted and an actual frame in [0, 1], (C, H, W): noise, constants, equal ones, black."""
    shape = (draw(st.sampled_from([1, 3])), draw(st.integers(1, 6)), draw(st.integers(1, 6)))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kinds = {
        "noise": lambda: random.random(shape),
        "grey": lambda: np.full(shape, random.random()),
        "black": lambda: np.zeros(shape),
        "white": lambda: np.ones(shape),
    }
    actual = kinds[draw(st.sampled_from(sorted(kinds)))]()
    if draw(st.booleans()):
        return actual + draw(st.sampled_from([0.0, 1e-4])), actual
    return kinds[draw(st.sampled_from(sorted(kinds)))](), actual


def tensor(array: NDArray[np.float64], dtype: torch.dtype = torch.float64) -> Tensor:
    """One camera's array as a batch of one."""
    return torch.from_numpy(array).to(dtype)[None]
