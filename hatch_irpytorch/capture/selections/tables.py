"""What whole numbers choose of a tensor: a table times rows that are 1 at one place, else 0."""

from __future__ import annotations

from hatch_irpytorch.capture.builder import Builder, Value
from hatch_irpytorch.capture.entries.elementwise import add, scaled
from hatch_irpytorch.capture.entries.integers import one_hot, require_below
from hatch_irpytorch.capture.selections.selection import select, take
from hatch_irpytorch.ir.ops.products import Matmul
from hatch_irpytorch.ir.shapes import numel


def look_up(b: Builder, x: Value, ids: Value, axis: int, what: str) -> Value:
    """The entries of an axis at whole numbers; the axis becomes those of the numbers.

    Raises `InexpressibleError` where they may not be whole, or may lie outside of the axis.
    """
    axis %= max(x.rank, 1)
    count = x.shape[axis]
    require_below(b, ids, count, what)
    front = b.permute(x, (axis, *(i for i in range(x.rank) if i != axis)))
    rest = front.shape[1:]
    rows = b.node(Matmul(), one_hot(b, ids, count), b.reshape(front, (count, numel(rest))))
    found = b.reshape(rows, (*ids.shape, *rest))
    places = range(ids.rank, ids.rank + axis)
    return b.permute(found, (*places, *range(ids.rank), *range(ids.rank + axis, found.rank)))


def look_up_vectors(b: Builder, x: Value, ids: Value, what: str) -> Value:
    """The parts of x at vectors of whole numbers, which the last axis of `ids` holds."""
    count = ids.shape[-1]
    extents = x.shape[:count]
    columns = [select(b, ids, -1, axis) for axis in range(count)]
    for column, extent in zip(columns, extents, strict=True):
        require_below(b, column, extent, what)
    place = b.full(ids.shape[:-1], 0.0)
    for column, extent in zip(columns, extents, strict=True):
        place = add(b, scaled(b, place, float(extent)), column)
    flat = b.reshape(x, (numel(extents), *x.shape[count:]))
    return look_up(b, flat, place, 0, what)


def gather(b: Builder, x: Value, ids: Value, axis: int, what: str) -> Value:
    """The entry of an axis at each whole number, in the row of the others where that stands."""
    axis %= max(x.rank, 1)
    count = x.shape[axis]
    require_below(b, ids, count, what)
    for other, extent in enumerate(ids.shape):
        x = x if other == axis else take(b, x, other, range(extent))
    last = (*(i for i in range(x.rank) if i != axis), axis)
    rows = one_hot(b, b.permute(ids, last), count)
    column = b.permute(x, last)
    found = b.node(Matmul(), rows, b.reshape(column, (*column.shape, 1)))
    moved = b.reshape(found, found.shape[:-1])
    return b.permute(moved, tuple(last.index(i) for i in range(x.rank)))
