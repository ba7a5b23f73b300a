"""Parts of tensors, padding, repetition: products with 0 and 1 where no op moves entries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hatch_irpytorch.capture.builder import Builder, Padded, Value, split_at
from hatch_irpytorch.ir.graph import Shape, numel
from hatch_irpytorch.ir.ops.movement import Concat
from hatch_irpytorch.ir.ops.pooling import AvgPool
from hatch_irpytorch.ir.ops.products import Matmul

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def apply_matrix(b: Builder, x: Value, axis: int, matrix: Array) -> Value:
    """A constant (m, n) matrix along the axis of extent n: that axis becomes m long."""
    axis %= x.rank
    before, extent, after = split_at(x.shape, axis)
    out = (*x.shape[:axis], len(matrix), *x.shape[axis + 1 :])
    if after == 1 and axis == x.rank - 1:
        return b.node(Matmul(), x, b.const(matrix.T))
    if axis == x.rank - 2:
        return b.node(Matmul(), b.const(matrix), x)
    folded = b.reshape(x, (before, extent, after))
    return b.reshape(b.node(Matmul(), b.const(matrix), folded), out)


def take(b: Builder, x: Value, axis: int, indices: Sequence[int]) -> Value:
    """The entries at constant positions of an axis, in this order.

    A run of the whole axis is nothing, a part of a `concat` is that part, equal steps from the
    first entry on are windows of one entry, and the rest is a product with a 0/1 matrix.
    """
    axis %= x.rank
    extent = x.shape[axis]
    chosen = [int(i) % extent for i in indices] if extent else []
    if chosen == list(range(extent)):
        return x
    if not chosen:
        return b.full((*x.shape[:axis], 0, *x.shape[axis + 1 :]), 0.0)
    if b.is_constant(x) and not b.is_learned(x):
        return b.const(np.take(b.array(x), chosen, axis=axis))
    part = _part_of_concat(b, x, axis, chosen)
    if part is not None:
        return take(b, *part)
    if x.shape[axis] and _is_run_from_start(chosen, extent):
        return _windows(b, x, axis, chosen)
    group = _common_block(chosen, extent)
    if group > 1:
        blocks = [i // group for i in chosen[::group]]
        folded = (*x.shape[:axis], extent // group, group, *x.shape[axis + 1 :])
        out = (*x.shape[:axis], len(chosen), *x.shape[axis + 1 :])
        return b.reshape(take(b, b.reshape(x, folded), axis, blocks), out)
    matrix = np.zeros((len(chosen), extent))
    matrix[np.arange(len(chosen)), chosen] = 1.0
    return apply_matrix(b, x, axis, matrix)


def _part_of_concat(
    b: Builder, x: Value, axis: int, chosen: list[int]
) -> tuple[Value, int, list[int]] | None:
    op = b.op(x)
    if not isinstance(op, Concat) or op.axis != axis:
        return None
    start = 0
    for part in b.parents(x):
        stop = start + part.shape[axis]
        if all(start <= i < stop for i in chosen):
            return part, axis, [i - start for i in chosen]
        start = stop
    return None


def _is_run_from_start(chosen: list[int], extent: int) -> bool:
    """Whether windows of one entry, some step apart, give these positions and no more."""
    step = chosen[1] if len(chosen) > 1 else extent
    return step > 0 and chosen == list(range(0, extent, step))


def _windows(b: Builder, x: Value, axis: int, chosen: list[int]) -> Value:
    step = chosen[1] if len(chosen) > 1 else x.shape[axis]
    before, extent, after = split_at(x.shape, axis)
    out = (*x.shape[:axis], len(chosen), *x.shape[axis + 1 :])
    if after == 1:
        pooled = b.node(AvgPool(1, (1,), (step,), (0,)), b.reshape(x, (before, extent)))
    else:
        folded = b.reshape(x, (before, extent, after))
        pooled = b.node(AvgPool(2, (1, 1), (step, 1), (0, 0)), folded)
    return b.reshape(pooled, out)


def _common_block(chosen: list[int], extent: int) -> int:
    """The largest run length that the positions come in, aligned, and that divides the axis."""
    group = math.gcd(extent, len(chosen))
    while group > 1:
        starts = chosen[::group]
        aligned = all(start % group == 0 for start in starts)
        if aligned and chosen == [start + i for start in starts for i in range(group)]:
            return group
        group = max(d for d in range(1, group) if group % d == 0)
    return 1


def slice_axis(b: Builder, x: Value, axis: int, start: int, stop: int, step: int = 1) -> Value:
    """`x[..., start:stop:step, ...]` by Python's own rules."""
    positions = range(x.shape[axis])[start:stop:step]
    return take(b, x, axis, positions)


def select(b: Builder, x: Value, axis: int, index: int) -> Value:
    """One position of an axis, which is dropped."""
    axis %= x.rank
    return b.reshape(take(b, x, axis, [index]), x.shape[:axis] + x.shape[axis + 1 :])


def gather(b: Builder, x: Value, positions: Array, shape: Shape) -> Value:
    """Entries of x by constant flat positions, as a tensor of `shape`."""
    flat = take(b, b.reshape(x, (numel(x.shape),)), 0, [int(i) for i in positions.reshape(-1)])
    return b.reshape(flat, shape)


def flip(b: Builder, x: Value, axes: Sequence[int]) -> Value:
    for axis in axes:
        x = take(b, x, axis, range(x.shape[axis])[::-1])
    return x


def roll(b: Builder, x: Value, axis: int, shift: int) -> Value:
    extent = x.shape[axis]
    if not extent or shift % extent == 0:
        return x
    start = extent - shift % extent
    parts = [slice_axis(b, x, axis, start, extent), slice_axis(b, x, axis, 0, start)]
    return b.concat(parts, axis)


def tile(b: Builder, x: Value, repeats: Sequence[int]) -> Value:
    """The tensor repeated along each axis, counted from the right; new axes come first."""
    rank = max(x.rank, len(repeats))
    shape = (1,) * (rank - x.rank) + x.shape
    counts = (1,) * (rank - len(repeats)) + tuple(int(r) for r in repeats)
    out = tuple(count * extent for count, extent in zip(counts, shape, strict=True))
    unit = tuple(i for extent in shape for i in (1, extent))
    wide = tuple(i for pair in zip(counts, shape, strict=True) for i in pair)
    return b.reshape(b.broadcast(b.reshape(x, unit), wide), out)


def repeat_entries(b: Builder, x: Value, axis: int, count: int) -> Value:
    """Each position of an axis `count` times in a row."""
    axis %= x.rank
    unit = (*x.shape[: axis + 1], 1, *x.shape[axis + 1 :])
    wide = (*x.shape[: axis + 1], count, *x.shape[axis + 1 :])
    out = (*x.shape[:axis], x.shape[axis] * count, *x.shape[axis + 1 :])
    return b.reshape(b.broadcast(b.reshape(x, unit), wide), out)


Pads = Sequence[tuple[int, int]]


def pad_constant(b: Builder, x: Value, pads: Pads, value: float = 0.0) -> Value:
    """`value` around each axis: (before, after); a negative amount cuts entries off."""
    for axis, (before, after) in enumerate(pads):
        if before < 0 or after < 0:
            stop = x.shape[axis] - max(-after, 0)
            x = slice_axis(b, x, axis, max(-before, 0), stop)
    grown = tuple((max(before, 0), max(after, 0)) for before, after in pads)
    source = x
    for axis, (before, after) in enumerate(grown):
        if before or after:
            x = b.concat(_around(b, x, axis, before, after, value), axis)
    if value == 0.0 and x.id != source.id:
        b.padded[x.id] = Padded(source, grown)
    return x


def _around(b: Builder, x: Value, axis: int, before: int, after: int, value: float) -> list[Value]:
    def block(extent: int) -> Value:
        return b.full((*x.shape[:axis], extent, *x.shape[axis + 1 :]), value)

    return [*([block(before)] if before else []), x, *([block(after)] if after else [])]


def pad_by_positions(b: Builder, x: Value, pads: Pads, mode: str) -> Value:
    """`reflect`, `edge` or `wrap` (NumPy's names) padding of each axis."""
    for axis, (before, after) in enumerate(pads):
        if before or after:
            stop = x.shape[axis] - max(-after, 0)
            kept = np.arange(max(-before, 0), stop)
            grown = (max(before, 0), max(after, 0))
            padded = np.pad(kept, [grown], mode=mode)  # type: ignore[call-overload]
            x = take(b, x, axis, padded.tolist())
    return x


def insert_zeros(b: Builder, x: Value, axis: int, stride: int) -> Value:
    """`stride - 1` zeros after each position of an axis."""
    if stride == 1:
        return x
    unit = (*x.shape[: axis + 1], 1, *x.shape[axis + 1 :])
    zeros = (*x.shape[: axis + 1], stride - 1, *x.shape[axis + 1 :])
    out = (*x.shape[:axis], x.shape[axis] * stride, *x.shape[axis + 1 :])
    spread = b.concat([b.reshape(x, unit), b.full(zeros, 0.0)], axis + 1)
    return b.reshape(spread, out)


def scatter(b: Builder, x: Value, positions: Array, updates: Value) -> Value:
    """x with the entries at constant flat positions replaced by `updates`, later ones winning."""
    flat = positions.reshape(-1).astype(np.int64)
    size = numel(x.shape)
    order = np.full(size, -1)
    order[flat] = np.arange(len(flat))
    both = b.concat([b.reshape(x, (size,)), b.reshape(updates, (numel(updates.shape),))], 0)
    source = np.where(order < 0, np.arange(size), size + order)
    return gather(b, both, source.astype(np.float64), x.shape)
