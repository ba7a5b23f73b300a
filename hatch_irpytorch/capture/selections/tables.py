"""What whole numbers choose of a tensor: a table times rows that are 1 at one place, else 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

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


def look_up_at(b: Builder, x: Value, ids: Mapping[int, Value], what: str) -> Value:
    """The parts of x at whole numbers along some of its axes, as PyTorch indexes by tensors.

    The axes of the numbers stand where the first of these axes stood, or in front where the axes
    are no neighbours. Raises as `look_up` does.
    """
    axes = sorted(ids)
    if len(axes) == 1:
        return look_up(b, x, ids[axes[0]], axes[0], what)
    told = np.broadcast_shapes(*(column.shape for column in ids.values()))
    others = [axis for axis in range(x.rank) if axis not in ids]
    columns = [b.broadcast(ids[axis], told) for axis in axes]
    found = _at_columns(b, b.permute(x, (*axes, *others)), columns, what)
    before = axes[0] if axes[-1] - axes[0] == len(axes) - 1 else 0
    rank = len(told)
    places = range(rank, rank + before)
    return b.permute(found, (*places, *range(rank), *range(rank + before, found.rank)))


def look_up_vectors(b: Builder, x: Value, ids: Value, what: str) -> Value:
    """The parts of x at vectors of whole numbers, which the last axis of `ids` holds.

    Raises as `look_up` does.
    """
    columns = [select(b, ids, -1, axis) for axis in range(ids.shape[-1])]
    return _at_columns(b, x, columns, what)


def _at_columns(b: Builder, x: Value, columns: Sequence[Value], what: str) -> Value:
    """The parts of x at whole numbers for each of its first axes.

    Where each row of x is asked for a part of its own, rows stay apart, so that they stay free.
    """
    pairs = list(zip(columns, x.shape, strict=False))
    for column, extent in pairs:
        require_below(b, column, extent, what)
    told, rest = columns[0].shape, x.shape[len(columns) :]
    in_rows = len(columns) > 1 and _is_its_row(b, columns[0], x.shape[0])
    (place, count), *others = pairs[in_rows:]
    for column, extent in others:
        place = add(b, scaled(b, place, float(extent)), column)
        count *= extent
    if not in_rows:
        return look_up(b, b.reshape(x, (count, *rest)), place, 0, what)
    rows = told[0]
    flags = b.reshape(one_hot(b, place, count), (rows, numel(told[1:]), count))
    found = b.node(Matmul(), flags, b.reshape(x, (rows, count, numel(rest))))
    return b.reshape(found, (*told, *rest))


def _is_its_row(b: Builder, column: Value, extent: int) -> bool:
    """Whether each number is the place along the first axis that it stands at."""
    if not b.is_constant(column) or b.is_learned(column) or column.shape[:1] != (extent,):
        return False
    places = np.arange(extent).reshape(extent, *[1] * (column.rank - 1))
    return bool((b.array(column) == places).all())


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
