"""Parts of tensors, padding, repetition: products with 0 and 1 where no op moves entries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Padded, Value, split_at
from hatch_irpytorch.ir.ops.movement import Concat
from hatch_irpytorch.ir.ops.pooling import AvgPool
from hatch_irpytorch.ir.ops.products import Matmul
from hatch_irpytorch.ir.shapes import Shape, numel

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]
    Positions = NDArray[np.int64]


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


NARROW = 1024
"""The longest axis whose entries are chosen by one 0/1 matrix, and of the parts of longer ones."""


def take(b: Builder, x: Value, axis: int, indices: ArrayLike) -> Value:
    """The entries at constant positions of an axis, in this order.

    A run of the whole axis is nothing, a part of a `concat` is that part, equal steps from the
    first entry on are windows of one entry, and the rest is a product with a 0/1 matrix. A run of
    a long axis is taken from the few blocks that hold it, in memory that its extent bounds.
    Raises `InexpressibleError` for a position that the axis does not have.
    """
    axis %= x.rank
    extent = x.shape[axis]
    chosen = _positions(b, indices, extent)
    if len(chosen) == extent and np.array_equal(chosen, np.arange(extent)):
        return x
    if not len(chosen):
        return b.full((*x.shape[:axis], 0, *x.shape[axis + 1 :]), 0.0)
    if b.is_constant(x) and not b.is_learned(x):
        b.budget.spend_for_a_while(numel(x.shape) // extent * len(chosen))
        return b.const(np.take(b.array(x), chosen, axis=axis))
    part = _part_of_concat(b, x, axis, chosen)
    if part is not None:
        return take(b, *part)
    if _is_run_from_start(chosen, extent):
        return _windows(b, x, axis, chosen)
    group = _common_block(chosen, extent)
    if group > 1:
        blocks = chosen[::group] // group
        folded = (*x.shape[:axis], extent // group, group, *x.shape[axis + 1 :])
        out = (*x.shape[:axis], len(chosen), *x.shape[axis + 1 :])
        return b.reshape(take(b, b.reshape(x, folded), axis, blocks), out)
    if extent > NARROW and (np.diff(chosen) == 1).all():
        return _run_of_blocks(b, x, axis, int(chosen[0]), int(chosen[-1]) + 1)
    b.budget.spend_for_a_while(len(chosen) * extent)
    matrix = np.zeros((len(chosen), extent))
    matrix[np.arange(len(chosen)), chosen] = 1.0
    return apply_matrix(b, x, axis, matrix)


def _positions(b: Builder, indices: ArrayLike, extent: int) -> Positions:
    if isinstance(indices, range):
        b.budget.spend_for_a_while(len(indices))
        indices = np.arange(indices.start, indices.stop, indices.step)
    chosen = np.asarray(indices, dtype=np.int64).reshape(-1)
    outside = chosen[(chosen < -extent) | (chosen >= extent)]
    if len(outside):
        raise InexpressibleError(f"position {outside[0]} of an axis of {extent}")
    return np.where(chosen < 0, chosen + extent, chosen)


def _run_of_blocks(b: Builder, x: Value, axis: int, start: int, stop: int) -> Value:
    """Positions from `start` to `stop` of a long axis, which is seen as rows of equal blocks.

    Rows are chosen first, so that no matrix has more entries than the axis has, about.
    """
    extent = x.shape[axis]
    size = 1 << (math.isqrt(extent - 1).bit_length())
    rows = -(-extent // size)
    pads = [(0, 0)] * x.rank
    pads[axis] = (0, rows * size - extent)
    folded = (*x.shape[:axis], rows, size, *x.shape[axis + 1 :])
    blocks = b.reshape(pad_constant(b, x, pads), folded)
    if stop - start <= size:
        first, last = start // size, -(-stop // size)
        few = _joined(b, take(b, blocks, axis, range(first, last)), axis)
        return _chosen(b, few, axis, start - first * size, stop - first * size)
    first, last = -(-start // size), stop // size
    parts = [_joined(b, take(b, blocks, axis, range(first, last)), axis)] if first < last else []
    if first * size > start:
        before = _joined(b, take(b, blocks, axis, [first - 1]), axis)
        parts.insert(0, _chosen(b, before, axis, size - (first * size - start), size))
    if stop > last * size:
        after = _joined(b, take(b, blocks, axis, [last]), axis)
        parts.append(_chosen(b, after, axis, 0, stop - last * size))
    return b.concat(parts, axis)


def _joined(b: Builder, x: Value, axis: int) -> Value:
    """An axis and the one after it as one."""
    extents = (*x.shape[:axis], x.shape[axis] * x.shape[axis + 1], *x.shape[axis + 2 :])
    return b.reshape(x, extents)


def _chosen(b: Builder, x: Value, axis: int, start: int, stop: int) -> Value:
    if (start, stop) == (0, x.shape[axis]):
        return x
    b.budget.spend_for_a_while((stop - start) * x.shape[axis])
    return apply_matrix(b, x, axis, np.eye(stop - start, x.shape[axis], start))


def _part_of_concat(
    b: Builder, x: Value, axis: int, chosen: Positions
) -> tuple[Value, int, Positions] | None:
    op = b.op(x)
    if not isinstance(op, Concat) or op.axis != axis:
        return None
    starts = b.starts(x, axis)
    position = int(np.searchsorted(starts, chosen.min(), side="right")) - 1
    part = b.parent(x, position)
    start = int(starts[position])
    if chosen.max() >= start + part.shape[axis]:
        return None
    return part, axis, chosen - start


def _is_run_from_start(chosen: Positions, extent: int) -> bool:
    """Whether windows of one entry, some step apart, give these positions and no more."""
    step = int(chosen[1]) if len(chosen) > 1 else extent
    return step > 0 and np.array_equal(chosen, np.arange(0, extent, step))


def _windows(b: Builder, x: Value, axis: int, chosen: Positions) -> Value:
    step = int(chosen[1]) if len(chosen) > 1 else x.shape[axis]
    before, extent, after = split_at(x.shape, axis)
    out = (*x.shape[:axis], len(chosen), *x.shape[axis + 1 :])
    if after == 1:
        pooled = b.node(AvgPool(1, (1,), (step,), (0,)), b.reshape(x, (before, extent)))
    else:
        folded = b.reshape(x, (before, extent, after))
        pooled = b.node(AvgPool(2, (1, 1), (step, 1), (0, 0)), folded)
    return b.reshape(pooled, out)


def _common_block(chosen: Positions, extent: int) -> int:
    """The largest run length that the positions come in, aligned, and that divides the axis."""
    # No run may be cut: its length divides every place where a new one begins.
    breaks = np.flatnonzero(np.diff(chosen) != 1) + 1
    group = math.gcd(extent, len(chosen), *breaks.tolist())
    while group > 1:
        uneven = int(np.gcd.reduce(chosen[::group]))
        if uneven % group == 0:
            return group
        group = math.gcd(group, uneven)
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
    flat = take(b, b.reshape(x, (numel(x.shape),)), 0, positions)
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
            b.budget.spend_for_a_while(abs(before) + x.shape[axis] + abs(after))
            kept = np.arange(max(-before, 0), stop)
            grown = (max(before, 0), max(after, 0))
            padded = np.pad(kept, [grown], mode=mode)  # type: ignore[call-overload]
            x = take(b, x, axis, padded)
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
    b.budget.spend_for_a_while(2 * size)
    order = np.full(size, -1)
    order[flat] = np.arange(len(flat))
    both = b.concat([b.reshape(x, (size,)), b.reshape(updates, (numel(updates.shape),))], 0)
    source = np.where(order < 0, np.arange(size), size + order)
    return gather(b, both, source.astype(np.float64), x.shape)
