"""Entries at constant places replaced: runs of an axis, or all places of what they depend on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Value
from hatch_irpytorch.capture.selections import cuts
from hatch_irpytorch.capture.selections.gathering import Part, at, coordinates_of, parts_of
from hatch_irpytorch.capture.selections.selection import PARTS, is_even, slice_axis, take
from hatch_irpytorch.ir.shapes import Shape, numel

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Positions = NDArray[np.int64]


def scatter(b: Builder, x: Value, positions: ArrayLike, updates: Value) -> Value:
    """x with the entries at constant flat positions replaced by `updates`, later ones winning."""
    if not numel(updates.shape):
        return x
    coordinates = coordinates_of(positions, updates.shape, x.shape)
    parts = parts_of(coordinates)
    if all(len(part.axes) == 1 and len(part.told_by) <= 1 for part in parts):
        return _by_axes(b, x, parts, coordinates, updates)
    return _by_order(b, x, parts, coordinates, updates)


def placed(b: Builder, positions: Positions, updates: Value, shape: Shape) -> Value:
    """`updates` at constant flat positions of a tensor that is 0 elsewhere.

    Raises `InexpressibleError` for positions that are not those of the updates, or lie beyond.
    """
    count = numel(shape)
    if positions.shape != updates.shape or np.any((positions < 0) | (positions >= count)):
        raise InexpressibleError(f"places beyond a tensor of {shape}, or not of {updates.shape}")
    b.budget.spend_for_a_while(count)
    return scatter(b, b.full(shape, 0.0), positions, updates)


def _by_axes(
    b: Builder, x: Value, parts: Sequence[Part], coordinates: Sequence[Positions], updates: Value
) -> Value:
    """Places that are those of each axis by itself: one axis after the other."""
    told = [axis for part in parts for axis in part.told_by]
    for axis in range(updates.rank):
        if axis not in told:
            updates = take(b, updates, axis, [-1])
    rest = [axis for axis in range(updates.rank) if axis not in told]
    turned = b.permute(updates, [*told, *rest])
    lines = [at(coordinates[part.axes[0]], part.told_by).reshape(-1) for part in parts]
    updates = b.reshape(turned, [len(line) for line in lines])
    chosen = []
    for axis, line in enumerate(lines):
        places, last = np.unique(line[::-1], return_index=True)
        updates = take(b, updates, axis, len(line) - 1 - last)
        chosen.append(places)
    return _replaced(b, x, 0, chosen, updates)


def _replaced(
    b: Builder, x: Value, axis: int, chosen: Sequence[Positions], updates: Value
) -> Value:
    """x with `updates` at the rising places of its axes from `axis` on."""
    if axis == x.rank:
        return updates
    places = chosen[axis]
    if len(places) == x.shape[axis]:
        return _replaced(b, x, axis + 1, chosen, updates)
    inner = _replaced(b, take(b, x, axis, places), axis + 1, chosen, updates)
    starts = [0, *(np.flatnonzero(np.diff(places) != 1) + 1).tolist(), len(places)]
    if len(starts) <= PARTS:
        return _in_runs(b, x, axis, places, inner, starts)
    if is_even(places):
        return _in_steps(b, x, axis, places, inner)
    order = np.arange(x.shape[axis])
    order[places] = x.shape[axis] + np.arange(len(places))
    return take(b, b.concat([x, inner], axis), axis, order)


def _in_runs(
    b: Builder, x: Value, axis: int, places: Positions, updates: Value, starts: Sequence[int]
) -> Value:
    parts, done = [], 0
    for start, stop in pairwise(starts):
        first, last = int(places[start]), int(places[stop - 1])
        parts.append(slice_axis(b, x, axis, done, first))
        parts.append(slice_axis(b, updates, axis, start, stop))
        done = last + 1
    parts.append(slice_axis(b, x, axis, done, x.shape[axis]))
    return b.concat(parts, axis)


def _in_steps(b: Builder, x: Value, axis: int, places: Positions, updates: Value) -> Value:
    """The first column of rows as long as the step."""
    first, step = int(places[0]), int(places[1] - places[0])
    extent, stop = x.shape[axis], int(places[0]) + step * len(places)
    body = slice_axis(b, x, axis, first, stop)
    whole = cuts.padded(b, body, axis, 0, max(stop - extent, 0))
    kept = slice_axis(b, cuts.folded(b, whole, axis, step), axis + 1, 1, step)
    rows = b.concat([cuts.folded(b, updates, axis, 1), kept], axis + 1)
    changed = slice_axis(b, cuts.joined(b, rows, axis), axis, 0, body.shape[axis])
    ends = [slice_axis(b, x, axis, 0, first), slice_axis(b, x, axis, stop, extent)]
    return b.concat([ends[0], changed, ends[1]], axis)


def _by_order(
    b: Builder, x: Value, parts: Sequence[Part], coordinates: Sequence[Positions], updates: Value
) -> Value:
    """Any places: one selection among what x and the updates hold, batch axes kept."""
    kept = [part for part in parts if _passes(part, coordinates, x)]
    lead = [part.axes[0] for part in kept]
    told = [part.told_by[0] for part in kept]
    axes = [axis for axis in range(x.rank) if axis not in lead]
    told_by = [axis for axis in range(updates.rank) if axis not in told]
    extents = tuple(x.shape[axis] for axis in axes)
    flat = np.ravel_multi_index(tuple(at(coordinates[i], told_by) for i in axes), extents)
    size = numel(extents)
    shape = tuple(x.shape[axis] for axis in lead)
    x_lines = b.reshape(b.permute(x, [*lead, *axes]), (*shape, size))
    lines = b.reshape(b.permute(updates, [*told, *told_by]), (*shape, flat.size))
    b.budget.spend_for_a_while(2 * size)
    order = np.arange(size)
    order[flat.reshape(-1)] = size + np.arange(flat.size)
    found = take(b, b.concat([x_lines, lines], len(lead)), len(lead), order)
    split = b.reshape(found, (*shape, *extents))
    return b.permute(split, np.argsort([*lead, *axes]).tolist())


def _passes(part: Part, coordinates: Sequence[Positions], x: Value) -> bool:
    """Whether an axis of x is one of the updates, with all of its entries in order."""
    if len(part.axes) != 1 or len(part.told_by) != 1:
        return False
    line = at(coordinates[part.axes[0]], part.told_by)
    return len(line) == x.shape[part.axes[0]] and np.array_equal(line, np.arange(len(line)))
