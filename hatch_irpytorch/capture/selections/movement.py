"""Padding, repetition, and entries in another order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hatch_irpytorch.capture.builder import Builder, Padded, Value
from hatch_irpytorch.capture.selections.cuts import padded
from hatch_irpytorch.capture.selections.selection import slice_axis, take


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
            x = padded(b, x, axis, before, after, value)
    if value == 0.0 and x.id != source.id:
        b.padded[x.id] = Padded(source, grown)
    return x


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
