"""Runs of an axis, and an axis backwards: rows of equal length, of which one is chosen.

No op cuts entries off. But an axis that is padded to rows as long as the run holds it in one of
them, the first of some rows is a window of one entry, and another is a product with as many
numbers as there are rows.
"""

from __future__ import annotations

import math

import numpy as np

from hatch_irpytorch.capture.builder import Builder, Value, split_at
from hatch_irpytorch.capture.selections.matrices import apply_matrix
from hatch_irpytorch.ir.ops.pooling import AvgPool

ROWS = 32
"""Among how many rows one is chosen at once, and how many are first taken together."""

TURNED = 32
"""How many entries are turned round at once."""


def padded(b: Builder, x: Value, axis: int, before: int, after: int, value: float = 0.0) -> Value:
    """`value` around an axis."""

    def block(extent: int) -> list[Value]:
        shape = (*x.shape[:axis], extent, *x.shape[axis + 1 :])
        return [b.full(shape, value)] if extent else []

    return b.concat([*block(before), x, *block(after)], axis)


def joined(b: Builder, x: Value, axis: int) -> Value:
    """An axis and the one after it as one."""
    extents = (*x.shape[:axis], x.shape[axis] * x.shape[axis + 1], *x.shape[axis + 2 :])
    return b.reshape(x, extents)


def folded(b: Builder, x: Value, axis: int, size: int) -> Value:
    """An axis as rows of `size` entries, which divides it."""
    rows = x.shape[axis] // size
    return b.reshape(x, (*x.shape[:axis], rows, size, *x.shape[axis + 1 :]))


def every(b: Builder, x: Value, axis: int, step: int) -> Value:
    """The first entry of an axis and each that is a multiple of `step` after it."""
    before, extent, after = split_at(x.shape, axis)
    out = (*x.shape[:axis], -(-extent // step), *x.shape[axis + 1 :])
    if after == 1:
        pooled = b.node(AvgPool(1, (1,), (step,), (0,)), b.reshape(x, (before, extent)))
    else:
        whole = b.reshape(x, (before, extent, after))
        pooled = b.node(AvgPool(2, (1, 1), (step, 1), (0, 0)), whole)
    return b.reshape(pooled, out)


def one(b: Builder, x: Value, axis: int, position: int) -> Value:
    """One entry of an axis, which stays with an extent of 1."""
    extent = x.shape[axis]
    if extent == 1:
        return x
    if position == 0:
        return every(b, x, axis, extent)
    if extent > ROWS:
        rows = folded(b, padded(b, x, axis, 0, -extent % ROWS), axis, ROWS)
        row = joined(b, one(b, rows, axis, position // ROWS), axis)
        return one(b, row, axis, position % ROWS)
    return apply_matrix(b, x, axis, np.eye(1, extent, position))


def run(b: Builder, x: Value, axis: int, start: int, stop: int) -> Value:
    """The entries from `start` to `stop` of an axis."""
    extent, length = x.shape[axis], stop - start
    if length == extent:
        return x
    before = -start % length
    after = -(before + extent) % length
    rows = folded(b, padded(b, x, axis, before, after), axis, length)
    return joined(b, one(b, rows, axis, (before + start) // length), axis)


def backwards(b: Builder, x: Value, axis: int) -> Value:
    """An axis in reverse order: as digits, each turned round by a matrix of its own."""
    extent = x.shape[axis]
    if extent <= TURNED:
        return x if extent < 2 else apply_matrix(b, x, axis, np.eye(extent)[::-1])
    digits = 2
    while TURNED**digits < extent:
        digits += 1
    size = math.ceil(round(extent ** (1 / digits), 9))
    whole = padded(b, x, axis, size**digits - extent, 0)
    split = b.reshape(whole, (*x.shape[:axis], *[size] * digits, *x.shape[axis + 1 :]))
    for digit in range(axis, axis + digits):
        split = apply_matrix(b, split, digit, np.eye(size)[::-1])
    turned = b.reshape(split, whole.shape)
    return run(b, turned, axis, 0, extent)


def repeat_entries(b: Builder, x: Value, axis: int, count: int) -> Value:
    """Each position of an axis `count` times in a row."""
    axis %= x.rank
    unit = (*x.shape[: axis + 1], 1, *x.shape[axis + 1 :])
    wide = (*x.shape[: axis + 1], count, *x.shape[axis + 1 :])
    return joined(b, b.broadcast(b.reshape(x, unit), wide), axis)
