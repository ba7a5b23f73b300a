"""What a reshape leaves of a free extent: every answer carries the batch, and none is missed."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hatch_irpytorch.axes.rows import from_rows, rows
from hatch_irpytorch.ir.regrouping import regrouped
from hatch_irpytorch.ir.shapes import Shape, numel
from hatch_irpytorch.ir.symbolic import (
    Factor,
    NotFreeError,
    Product,
    Symbol,
    SymbolicShape,
    declared,
    symbolic_text,
)

N = Product((Symbol("N", 1, batch=True),))
Array = np.ndarray[Any, Any]


def views(shape: SymbolicShape, out: Shape) -> list[str]:
    return [symbolic_text(view) for view in regrouped(shape, out)]


@pytest.mark.parametrize(
    ("shape", "out", "found"),
    [
        ((N, 12), (1, 3, 4), ["(N, 3, 4)", "(1, 3 * N, 4)"]),
        ((N, 3, 4), (1, 12), ["(N, 12)", "(1, 12 * N)"]),
        ((12, N, 6), (12, 2, 3), ["(12 * N, 2, 3)", "(12, 2 * N, 3)"]),
        ((N, 5), (5,), ["(5 * N,)"]),
        ((N, 5), (1, 5), ["(N, 5)", "(1, 5 * N)"]),
        ((N, 0, 4), (1, 4, 0), ["(N, 4, 0)"]),
    ],
)
def test_one_sample_may_be_carried_in_several_places(
    shape: SymbolicShape, out: Shape, found: list[str]
) -> None:
    assert views(shape, out) == found


def test_several_samples_can_be_carried_in_one_place_only() -> None:
    three = Product((Symbol("N", 3, batch=True),))
    assert views((three, 12), (3, 3, 4)) == ["(N, 3, 4)"]
    assert views((4, three), (2, 6)) == ["(2, 2 * N)"]
    with pytest.raises(NotFreeError, match=r"reshapes \(4, N\) to \(6, 2\)"):
        regrouped((4, three), (6, 2))


def shapes_of(count: int) -> list[Shape]:
    """Every shape of up to four axes with so many entries, no extent of which is 1."""
    found: list[Shape] = [(count,)] if count > 1 else [()]
    for first in range(2, count):
        if count % first == 0:
            found += [(first, *rest) for rest in shapes_of(count // first) if len(rest) < 4]
    return found


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from([1, 2, 3, 4, 6, 12]),
    st.sampled_from([2, 3, 4]),
    st.sampled_from([1, 2, 3, 4, 6]),
    st.data(),
)
def test_each_view_carries_the_batch_and_none_is_missing(
    before: int, size: int, after: int, data: st.DataObject
) -> None:
    batch = Product((Symbol("N", size, batch=True),))
    lead = data.draw(st.sampled_from(shapes_of(before)))
    rest = data.draw(st.sampled_from(shapes_of(after)))
    shape: SymbolicShape = (*lead, batch, *rest)
    out = data.draw(st.sampled_from(shapes_of(before * size * after)))
    try:
        found = regrouped(shape, out)
    except NotFreeError:
        found = []
    assert sorted(found, key=str) == sorted(carrying(shape, out, before, size, after), key=str)
    for view in found:
        assert declared(view) == out
        x = np.arange(float(numel(out))).reshape(declared(shape))
        more = np.concatenate([rows(x, shape), 100 + rows(x, shape)])[: 2 * size - 1]
        extents = [extent if isinstance(extent, int) else -1 for extent in view]
        reshaped = from_rows(more, shape).reshape(extents)
        np.testing.assert_array_equal(
            rows_of(reshaped, view, len(more)),
            np.stack([row.reshape(inner(view)) for row in more]),
        )


def carrying(
    shape: SymbolicShape, out: Shape, before: int, size: int, after: int
) -> list[SymbolicShape]:
    """By the definition: an axis takes the batch where what lies before it divides evenly."""
    found: list[SymbolicShape] = []
    for axis, extent in enumerate(out):
        outside, inside = numel(out[:axis]), numel(out[axis + 1 :])
        if before % outside or after % inside:
            continue
        outer, inner_count = before // outside, after // inside
        if extent == outer * size * inner_count:
            factors: list[Factor] = [outer, Symbol("N", size, batch=True), inner_count]
            kept = tuple([factor for factor in factors if factor != 1])
            found.append((*out[:axis], Product(kept), *out[axis + 1 :]))
    return found


def inner(view: SymbolicShape) -> Shape:
    """The shape of one row: its batch axis is split into what is outside and inside the batch."""
    axis = next(i for i, extent in enumerate(view) if not isinstance(extent, int))
    row = rows(np.zeros(declared(view)), view)[0]
    assert row.ndim == len(view) + 1
    assert axis < row.ndim
    return tuple(row.shape)


def rows_of(array: Array, view: SymbolicShape, count: int) -> Array:
    """`rows` of an array whose batch has another size than declared."""
    axis = next(i for i, extent in enumerate(view) if not isinstance(extent, int))
    extent = view[axis]
    assert isinstance(extent, Product)
    sized = Product(
        tuple(f if isinstance(f, int) else f._replace(size=count) for f in extent.factors)
    )
    return rows(array, (*view[:axis], sized, *view[axis + 1 :]))


def test_very_many_places_are_not_all_tried() -> None:
    symbols = tuple(Product((Symbol(f"S{axis}", 1),)) for axis in range(30))
    assert regrouped((*symbols, 2), (1,) * 31 + (2,))


def test_products_of_symbols_come_apart_in_their_order() -> None:
    n, t = Symbol("N", 2, batch=True), Symbol("S1", 3)
    merged = regrouped((Product((n,)), Product((t,)), 4), (6, 4))
    assert list(map(symbolic_text, merged)) == ["(N * S1, 4)"]
    with pytest.raises(NotFreeError):
        regrouped(merged[0], (3, 2, 4))


def test_extents_of_the_same_numbers_are_told_apart_by_their_order() -> None:
    for first, second in product((2, 4, 8), repeat=2):
        h, w = Symbol("S2", first), Symbol("S3", second)
        shape = (N, first * second, Product((h,)), Product((w,)))
        (view, *_) = regrouped(shape, (1, first * second, first * second))
        assert symbolic_text(view) == f"(N, {first * second}, S2 * S3)"
