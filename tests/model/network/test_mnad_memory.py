"""Memory read and update against the reference, and camera by camera."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn import functional

from model.network import mnad_memory
from tests.model import reference
from tests.model.inputs import memories, tensor

Memory = tuple[NDArray[np.float64], NDArray[np.float64]]


@given(memories())
def test_read_is_the_papers(case: Memory) -> None:
    queries, items = case
    answer = mnad_memory.read(tensor(queries), tensor(items))[0].numpy()
    np.testing.assert_allclose(answer, reference.read(queries, items), rtol=1e-9, atol=1e-12)


@given(memories())
def test_update_is_the_papers(case: Memory) -> None:
    queries, items = case
    moved = mnad_memory.update(tensor(queries), tensor(items))[0].numpy()
    np.testing.assert_allclose(moved, reference.update(queries, items), rtol=1e-8, atol=1e-10)


@given(memories())
def test_update_with_the_references_maximum_is_the_references(case: Memory) -> None:
    queries, items = case
    moved = mnad_memory.update(tensor(queries), tensor(items), reference_maximum=True)[0].numpy()
    expected = reference.update(queries, items, maximum_over_all=True)
    np.testing.assert_allclose(moved, expected, rtol=1e-8, atol=1e-10)


@given(memories())
def test_update_in_single_precision_is_close_to_the_papers(case: Memory) -> None:
    queries, items = (array.astype(np.float32).astype(np.float64) for array in case)
    similarity = np.sort(queries @ items.T, axis=1)
    # Where two items are as near, single precision may choose the other one.
    assume(float((similarity[:, -1] - similarity[:, -2]).min()) > 1e-6)
    moved = mnad_memory.update(tensor(queries, torch.float32), tensor(items, torch.float32))[
        0
    ].numpy()
    np.testing.assert_allclose(moved, reference.update(queries, items), rtol=1e-4, atol=1e-4)


def _unit(*shape: int, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(*shape, generator=random), dim=-1)


def test_an_item_that_nobody_chose_stays_bit_for_bit() -> None:
    items = _unit(1, 3, 8)
    items[0, 1] *= 1.0 + 3e-7  # not quite of unit length: normalising it again would show
    queries = items[:, [0, 0, 2]].clone()
    moved = mnad_memory.update(queries, items)
    assert torch.equal(moved[0, 1], items[0, 1])
    assert torch.equal(mnad_memory.measure_usage(queries, items), torch.tensor([[2 / 3, 0, 1 / 3]]))


def test_all_queries_on_one_item_move_that_one_alone() -> None:
    items = torch.eye(4)[None]
    queries = functional.normalize(items[:, :1] + 0.3 * _unit(1, 50, 4), dim=2)
    moved = mnad_memory.update(queries, items)
    assert torch.equal(moved[0, 1:], items[0, 1:])
    assert not torch.equal(moved[0, 0], items[0, 0])
    expected = reference.update(queries[0].double().numpy(), items[0].double().numpy())
    np.testing.assert_allclose(moved[0].numpy(), expected, atol=1e-5)


def test_the_largest_weight_is_taken_among_the_queries_that_chose_the_item() -> None:
    # The query most similar to item 0 chose item 1; over all k, item 0 would hardly move.
    items = torch.tensor([[[1.0, 0.0], [0.8, 0.6]]])
    queries = torch.tensor([[[0.9, 0.43589], [0.6, -0.8]]])
    assert mnad_memory.find_nearest(queries, items).flatten().tolist() == [1, 0]
    moved = mnad_memory.update(queries, items)[0, 0]
    torch.testing.assert_close(moved, functional.normalize(items[0, 0] + queries[0, 1], dim=0))
    less = mnad_memory.update(queries, items, reference_maximum=True)[0, 0]
    weight = torch.exp(queries[0, 1, 0] - queries[0, 0, 0])
    expected = functional.normalize(items[0, 0] + weight * queries[0, 1], dim=0)
    torch.testing.assert_close(less, expected)


@given(st.lists(memories(), min_size=1, max_size=1), st.integers(2, 5), st.integers(0, 99))
def test_a_batch_of_cameras_equals_each_alone(cases: list[Memory], count: int, seed: int) -> None:
    queries, items = (tensor(array) for array in cases[0])
    random = torch.Generator().manual_seed(seed)
    shake = torch.randn(count, 1, queries.shape[2], generator=random, dtype=torch.float64)
    many_queries = functional.normalize(queries + shake, dim=2)
    many_items = functional.normalize(items - shake, dim=2)
    for operation in (mnad_memory.read, mnad_memory.update, mnad_memory.measure_usage):
        together = operation(many_queries, many_items)
        for index in range(count):
            alone = operation(many_queries[index, None], many_items[index, None])
            torch.testing.assert_close(together[index, None], alone, rtol=1e-9, atol=1e-12)


def test_another_cameras_queries_change_nothing() -> None:
    queries, items = _unit(2, 30, 8), _unit(2, 4, 8, seed=1)
    before = mnad_memory.update(queries, items)[0]
    queries[1] = _unit(30, 8, seed=2)
    assert torch.equal(mnad_memory.update(queries, items)[0], before)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("where", ["queries", "items"])
def test_update_refuses_what_is_no_number(where: str, bad: float) -> None:
    tensors = {"queries": _unit(2, 5, 4), "items": _unit(2, 3, 4, seed=1)}
    tensors[where][1, 1, 2] = bad
    with pytest.raises(ValueError, match="finite"):
        mnad_memory.update(tensors["queries"], tensors["items"])


def test_initial_items_are_positive_unit_vectors_that_follow_from_the_seed() -> None:
    items = mnad_memory.draw_items(10, 16, torch.Generator().manual_seed(3))
    assert items.shape == (1, 10, 16)
    assert bool((items >= 0).all())
    torch.testing.assert_close(items.norm(dim=2), torch.ones(1, 10))
    assert torch.equal(items, mnad_memory.draw_items(10, 16, torch.Generator().manual_seed(3)))
