"""Entries at constant places of a tensor: by the axes that depend on one another.

Where a place along some axes of x is told by some axes of the result and by no others, those are
chosen by themselves, and what is left alone stays an axis of its own: so a batch stays free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hatch_irpytorch.capture.builder import Builder, Value
from hatch_irpytorch.capture.selections import cuts
from hatch_irpytorch.capture.selections.selection import SMALL, places, positions_of, take
from hatch_irpytorch.ir.ops.products import Matmul
from hatch_irpytorch.ir.shapes import Shape, numel

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """Axes of x, and the axes of the result that tell the place along them."""

    axes: tuple[int, ...]
    told_by: tuple[int, ...]


def parts_of(coordinates: Sequence[Positions]) -> list[Part]:
    """The axes of a tensor in groups that are told by different axes of the coordinates."""
    found: list[Part] = []
    for axis, along in enumerate(coordinates):
        part = Part((axis,), _varies_along(along))
        shared = [other for other in found if set(other.told_by) & set(part.told_by)]
        axes = sorted({axis, *(i for other in shared for i in other.axes)})
        told_by = sorted({*part.told_by, *(i for other in shared for i in other.told_by)})
        found = [other for other in found if other not in shared]
        found.append(Part(tuple(axes), tuple(told_by)))
    return sorted(found, key=lambda part: part.axes)


def _varies_along(along: Positions) -> tuple[int, ...]:
    return tuple(
        axis
        for axis in range(along.ndim)
        if along.shape[axis] > 1 and (along != along.take([0], axis)).any()
    )


def coordinates_of(positions: ArrayLike, shape: Shape, x: Shape) -> list[Positions]:
    """Along each axis of x, the place of flat positions that are a tensor of `shape`."""
    # In one dimension: NumPy 2.4 unravels large arrays of some other layouts wrongly.
    flat = np.asarray(positions, dtype=np.int64).reshape(-1)
    return [along.reshape(shape) for along in np.unravel_index(flat, x)] if x else []


def gather(b: Builder, x: Value, positions: ArrayLike, shape: Shape) -> Value:
    """Entries of x by constant flat positions, as a tensor of `shape`."""
    if not numel(shape):
        return b.full(shape, 0.0)
    if b.is_constant(x) and not b.is_learned(x):
        flat = np.asarray(positions, dtype=np.int64).reshape(shape)
        return b.const(b.array(x).reshape(-1)[flat])
    coordinates = coordinates_of(positions, shape, x.shape)
    parts = parts_of(coordinates)
    y = b.permute(x, [axis for part in parts for axis in part.axes])
    done = 0
    for part in parts:
        along = [at(coordinates[axis], part.told_by) for axis in part.axes]
        y = _chosen(b, y, done, along)
        done += len(part.told_by)
    order = [axis for part in parts for axis in part.told_by]
    y = b.permute(y, np.argsort(order).tolist())
    kept = [extent if axis in order else 1 for axis, extent in enumerate(shape)]
    return b.broadcast(b.reshape(y, kept), shape)


def at(along: Positions, told_by: Sequence[int]) -> Positions:
    """Places along the axes that tell them, taken at the first entry of all others."""
    return along[tuple(slice(None) if axis in told_by else 0 for axis in range(along.ndim))]


def take_all(b: Builder, x: Value, axis: int, index: ArrayLike) -> Value:
    """The entries at constant positions of an axis, which becomes the axes of `index`."""
    axis %= x.rank
    found = positions_of(b, index, x.shape[axis])
    if found.ndim == 1 or not found.size or (b.is_constant(x) and not b.is_learned(x)):
        flat = take(b, x, axis, found)
        return b.reshape(flat, (*x.shape[:axis], *found.shape, *x.shape[axis + 1 :]))
    return _chosen(b, x, axis, [found])


def _chosen(b: Builder, x: Value, first: int, along: Sequence[Positions]) -> Value:
    """The axes of x from `first` on, as many as `along`, replaced by those of the places."""
    last = first + len(along)
    before, extents, after = x.shape[:first], x.shape[first:last], x.shape[last:]
    told = along[0].shape
    rows = _rows(along, extents)
    if rows is not None:
        axis, by = rows
        return _chosen_by_rows(b, x, first, along, axis, by)
    flat = np.ravel_multi_index(tuple(along), extents).reshape(-1)
    whole = b.reshape(x, (*before, numel(extents), *after))
    if len(told) == 2 and numel(told) * numel(extents) > SMALL:
        diagonals = diagonals_of(flat.reshape(told))
        if diagonals is not None:
            found, falling = diagonals
            line = take(b, whole, first, found)
            wide = (*before, told[0], len(found), *after)
            repeated = b.broadcast(b.reshape(line, (*before, 1, len(found), *after)), wide)
            return sheared(b, repeated, first, told[1], falling)
    return b.reshape(take(b, whole, first, flat), (*before, *told, *after))


def _rows(along: Sequence[Positions], extents: Shape) -> tuple[int, int] | None:
    """(axis of x, axis of the places) that are the same rows, each with places of its own."""
    rank = along[0].ndim
    if len(along) < 2 or rank < 2:
        return None
    for axis, places_of_axis in enumerate(along):
        varies = _varies_along(places_of_axis)
        if len(varies) == 1 and any(varies[0] in _varies_along(other) for other in along):
            by = varies[0]
            line = at(places_of_axis, varies)
            if extents[axis] == len(line) and np.array_equal(line, np.arange(len(line))):
                return axis, by
    return None


def _chosen_by_rows(
    b: Builder, x: Value, first: int, along: Sequence[Positions], axis: int, by: int
) -> Value:
    """Places in the rows along one of the axes, which is also one of the result."""
    count = len(along)
    others = [i for i in range(count) if i != axis]
    order = [*range(first), first + axis, *(first + i for i in others)]
    turned = b.permute(x, [*order, *range(first + count, x.rank)])
    before, after = x.shape[:first], x.shape[first + count :]
    extents = tuple(x.shape[first + i] for i in others)
    rows = x.shape[first + axis]
    flat = np.moveaxis(np.ravel_multi_index(tuple(along[i] for i in others), extents), by, 0)
    told = flat.shape[1:]
    flat = flat.reshape(rows, -1)
    lines = b.reshape(turned, (*before, rows, numel(extents), *after))
    diagonals = diagonals_of(flat)
    if diagonals is not None:
        found, falling = diagonals
        chosen = sheared(b, take(b, lines, first + 1, found), first, flat.shape[1], falling)
    else:
        folded = b.reshape(lines, (numel(before), rows, numel(extents), numel(after)))
        chosen = b.node(Matmul(), places(b, flat, numel(extents)), folded)
    split = b.reshape(chosen, (*before, rows, *told, *after))
    back = list(range(first + 1, first + 1 + len(told)))
    back.insert(by, first)
    return b.permute(split, [*range(first), *back, *range(first + 1 + len(told), split.rank)])


def diagonals_of(places_in_rows: Positions) -> tuple[Positions, bool] | None:
    """The places by diagonal, where all of a diagonal are one; and whether that runs downwards.

    Row i, column j is at `i - j`, counted from the last, of falling diagonals, else at `i + j`.
    """
    rows, columns = places_in_rows.shape
    if rows < 2 or columns < 2:
        return None
    if (places_in_rows[1:, 1:] == places_in_rows[:-1, :-1]).all():
        return np.concatenate([places_in_rows[:0:-1, 0], places_in_rows[0]]), True
    if (places_in_rows[1:, :-1] == places_in_rows[:-1, 1:]).all():
        return np.concatenate([places_in_rows[0], places_in_rows[1:, -1]]), False
    return None


def sheared(b: Builder, x: Value, axis: int, columns: int, falling: bool) -> Value:
    """Of rows that hold a place for each diagonal, those of each row: rows read at another length.

    x is (..., rows, rows + columns - 1, ...). Row i of the result starts at place `i`, or, where
    diagonals fall, at the last but `i` that leaves room for `columns`.
    """
    rows, diagonals = x.shape[axis], x.shape[axis + 1]
    flat = cuts.joined(b, cuts.padded(b, x, axis + 1, int(falling), 0), axis)
    if falling:
        # A row begins one place earlier than the one above: rows of the padded length less one.
        flat = cuts.run(b, flat, axis, rows, rows * (diagonals + 1))
        lines = cuts.folded(b, flat, axis, diagonals)
    else:
        lines = cuts.folded(b, cuts.padded(b, flat, axis, 0, rows), axis, diagonals + 1)
    return cuts.run(b, lines, axis + 1, 0, columns)
