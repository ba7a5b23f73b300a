"""Entries at constant places: right for any positions, and in few numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hatch_irpytorch.axes.free import free_model
from hatch_irpytorch.capture.builder import Builder, Value
from hatch_irpytorch.capture.selections.gathering import coordinates_of, gather, take_all
from hatch_irpytorch.capture.selections.replacing import scatter
from hatch_irpytorch.capture.selections.selection import slice_axis, take
from hatch_irpytorch.ir.graph import Model
from hatch_irpytorch.ir.reference import evaluate

Array = np.ndarray[tuple[int, ...], np.dtype[Any]]
Make = Callable[[Builder, Value], Value]


def selected(shape: tuple[int, ...], make: Make) -> tuple[Model, Array, Array]:
    """A model of one input, the input, and the output for it."""
    b = Builder()
    model = b.finish([make(b, b.input(shape))])
    x = np.random.default_rng(0).normal(size=shape)
    return model, x, evaluate(model, x)[0]


def stored(model: Model) -> int:
    return sum(array.size for array in model.params.values())


def grid(shape: tuple[int, ...]) -> Array:
    return np.arange(np.prod(shape, dtype=np.int64)).reshape(shape)


@st.composite
def positions(draw: st.DrawFn) -> tuple[int, list[int]]:
    """An axis, and runs of any step on it, some of them repeated."""
    extent = draw(st.integers(1, 90))
    chosen: list[int] = []
    for _ in range(draw(st.integers(1, 4))):
        start, stop = (draw(st.integers(0, extent - 1)) for _ in range(2))
        step = draw(st.integers(1, 4)) * (1 if stop >= start else -1)
        run = [*range(start, stop, step)] or [start]
        chosen += [i for i in run for _ in range(draw(st.integers(1, 3)))]
    return extent, chosen


@settings(deadline=None, max_examples=150)
@given(positions(), st.sampled_from([(0, ()), (1, ()), (1, (3,)), (0, (2,))]))
def test_take_is_that_of_numpy(case: tuple[int, list[int]], at: tuple[int, Any]) -> None:
    (extent, chosen), (axis, after) = case, at
    shape = (*[2] * axis, extent, *after)
    model, x, found = selected(shape, lambda b, x: take(b, x, axis, chosen))
    np.testing.assert_array_equal(found, np.take(x, chosen, axis=axis))
    assert stored(model) <= 3 * len(chosen) + 3000


@settings(deadline=None, max_examples=150)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.data())
def test_gather_and_scatter_are_those_of_numpy(extents: list[int], data: st.DataObject) -> None:
    shape = tuple(extents)
    size = int(np.prod(shape))
    wanted = tuple(data.draw(st.lists(st.integers(1, 4), max_size=3)))
    count = int(np.prod(wanted, dtype=np.int64))
    flat = data.draw(st.lists(st.integers(0, size - 1), min_size=count, max_size=count))
    places = np.array(flat, dtype=np.int64).reshape(wanted)
    _, x, found = selected(shape, lambda b, x: gather(b, x, places, wanted))
    np.testing.assert_array_equal(found, x.reshape(-1)[places])
    updates = np.arange(1.0, count + 1).reshape(wanted)
    _, x, found = selected(shape, lambda b, x: scatter(b, x, places, b.const(updates)))
    changed = x.reshape(-1).copy()
    for place, update in zip(flat, updates.reshape(-1), strict=True):
        changed[place] = update
    np.testing.assert_array_equal(found, changed.reshape(shape))


@pytest.mark.parametrize(
    ("start", "stop", "step", "most"),
    [
        (0, -1, 1, 1),
        (1, None, 1, 3),
        (3, -2, 1, 4),
        (-1, None, 1, 200),
        (4000, 4010, 1, 100),
        (0, None, 2, 0),
        (1, None, 2, 3),
        (2, -3, 3, 5),
        (None, None, -1, 1300),
    ],
)
def test_a_slice_of_a_long_axis_costs_next_to_nothing(
    start: int | None, stop: int | None, step: int, most: int
) -> None:
    chosen = range(8000)[start:stop:step]
    model, x, found = selected((2, 8000), lambda b, x: take(b, x, 1, chosen))
    np.testing.assert_array_equal(found, x[:, start:stop:step])
    assert stored(model) <= most and len(model.graph.nodes) <= 20


def test_any_order_of_a_long_axis_costs_a_few_numbers_for_each() -> None:
    order = np.random.default_rng(1).permutation(8000)
    model, x, found = selected((1, 8000), lambda b, x: take(b, x, 1, order))
    np.testing.assert_array_equal(found, x[:, order])
    assert stored(model) <= 3 * 8000


def test_windows_that_overlap_are_joined_of_their_parts() -> None:
    places = np.arange(0, 7601, 160)[:, None] + np.arange(400)
    model, x, found = selected((1, 8000), lambda b, x: take_all(b, x, 1, places))
    np.testing.assert_array_equal(found, x[:, places])
    assert stored(model) <= 200 and len(model.graph.nodes) <= 50


_FAR = np.subtract.outer(np.arange(30), np.arange(30))
_RELATIVE = {
    "falling": np.clip(_FAR + 32, 0, 63),
    "rising": np.clip(32 - _FAR, 0, 63),
    "rightwards": np.add.outer(np.arange(30), np.arange(30)),
    "buckets": np.sign(_FAR) * np.log2(np.abs(_FAR) + 1).astype(np.int64) + 32,
}


@pytest.mark.parametrize("name", _RELATIVE)
def test_relative_positions_are_rows_read_at_another_length(name: str) -> None:
    index = np.broadcast_to(_RELATIVE[name], (2, 4, 30, 30))
    places = np.take_along_axis(grid((2, 4, 30, 64)), index, -1)
    model, x, found = selected((2, 4, 30, 64), lambda b, x: gather(b, x, places, index.shape))
    np.testing.assert_array_equal(found, np.take_along_axis(x, index, -1))
    assert stored(model) < 400
    assert free_model(model, "auto").shapes is not None
    table = _RELATIVE[name]
    model, x, found = selected((64, 3), lambda b, x: take_all(b, x, 0, table))
    np.testing.assert_array_equal(found, x[table])
    assert stored(model) < 400


def test_rows_with_places_of_their_own_leave_the_batch_free() -> None:
    index = np.broadcast_to(np.random.default_rng(2).integers(0, 20, (6, 9)), (3, 6, 9))
    places = np.take_along_axis(grid((3, 6, 20)), index, -1)
    model, x, found = selected((3, 6, 20), lambda b, x: gather(b, x, places, index.shape))
    np.testing.assert_array_equal(found, np.take_along_axis(x, index, -1))
    assert free_model(model, "auto").shapes is not None


_REPLACED: list[tuple[Any, ...]] = [
    (slice(None), slice(1, None), slice(1, None)),
    (slice(None), slice(None), slice(0, None, 2)),
    (slice(None), slice(None), slice(3, 29, 3)),
    (slice(None), 5, slice(2, 9)),
    (slice(None), [0, 7, 3], slice(None)),
    (slice(None), [0, 7, 3], [1, 1, 4]),
]


@pytest.mark.parametrize("region", _REPLACED, ids=map(str, range(len(_REPLACED))))
def test_replaced_entries_leave_the_batch_free(region: tuple[Any, ...]) -> None:
    shape = (2, 30, 30)
    places = grid(shape)[region]

    def replaced(b: Builder, x: Value) -> Value:
        updates = take_all(b, slice_axis(b, x, 1, 0, 1), 2, places[0] % 30)
        return scatter(b, x, places, b.reshape(updates, places.shape))

    model, x, found = selected(shape, replaced)
    changed = x.copy()
    changed[region] = x[:, 0][:, places[0] % 30]
    np.testing.assert_array_equal(found, changed)
    assert stored(model) < 6000
    assert free_model(model, "auto").shapes is not None


@pytest.mark.parametrize("shape", [(50, 2, 196, 1), (1, 2, 197, 50), (9000,), (95, 1, 1, 97)])
def test_places_of_large_tensors_are_those_of_each_axis(shape: tuple[int, ...]) -> None:
    positions = np.arange(np.prod(shape)).reshape(shape)
    for part in (positions, positions[..., 1:] if shape[-1] > 1 else positions[1:]):
        coordinates = coordinates_of(part, part.shape, shape)
        assert len(coordinates) == len(shape)
        assert (np.ravel_multi_index(coordinates, shape) == part).all()
