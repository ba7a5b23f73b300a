"""Entries at constant positions of an axis, by the form that stores the fewest numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Value, split_at
from hatch_irpytorch.capture.entries.elementwise import mul
from hatch_irpytorch.capture.entries.integers import one_hot
from hatch_irpytorch.capture.selections import cuts
from hatch_irpytorch.capture.selections.matrices import apply_matrix
from hatch_irpytorch.ir.ops.movement import Concat
from hatch_irpytorch.ir.ops.products import Matmul
from hatch_irpytorch.ir.shapes import numel

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Positions = NDArray[np.int64]

SMALL = 256
"""How many numbers a 0/1 matrix may have to be stored as it is."""

PARTS = 8
"""Of how many runs a selection is joined."""

DIGIT = 256
"""Below it a whole number is exact in every dtype of a module, bfloat16 too."""


def take(b: Builder, x: Value, axis: int, indices: ArrayLike) -> Value:
    """The entries at constant positions of an axis, in this order.

    Raises `InexpressibleError` for a position that the axis does not have.
    """
    axis %= x.rank
    extent = x.shape[axis]
    chosen = positions_of(b, indices, extent).reshape(-1)
    if len(chosen) == extent and np.array_equal(chosen, np.arange(extent)):
        return x
    if not len(chosen):
        return b.full((*x.shape[:axis], 0, *x.shape[axis + 1 :]), 0.0)
    if b.is_constant(x) and not b.is_learned(x):
        b.budget.spend_for_a_while(numel(x.shape) // extent * len(chosen))
        return b.const(np.take(b.array(x), chosen, axis=axis))
    part = _part_of_concat(b, x, axis, chosen)
    return take(b, *part) if part is not None else _taken(b, x, axis, chosen)


def positions_of(b: Builder, indices: ArrayLike, extent: int) -> Positions:
    """Positions counted from the first. Raises `InexpressibleError` where there is none."""
    if isinstance(indices, range):
        b.budget.spend_for_a_while(len(indices))
        indices = np.arange(indices.start, indices.stop, indices.step)
    chosen = np.asarray(indices, dtype=np.int64)
    outside = chosen[(chosen < -extent) | (chosen >= extent)]
    if len(outside):
        raise InexpressibleError(f"position {outside[0]} of an axis of {extent}")
    return np.where(chosen < 0, chosen + extent, chosen)


def _part_of_concat(
    b: Builder, x: Value, axis: int, chosen: Positions
) -> tuple[Value, int, Positions] | None:
    op = b.op(x)
    if not isinstance(op, Concat) or op.axis != axis:
        return None
    starts = b.starts(x, axis)
    ends = (int(chosen.min()), int(chosen.max()))
    first, last = (int(i) - 1 for i in np.searchsorted(starts, ends, side="right"))
    if (first, last) == (0, len(starts) - 1):
        return None
    parts = [b.parent(x, position) for position in range(first, last + 1)]
    return b.concat(parts, axis), axis, chosen - int(starts[first])


def _taken(b: Builder, x: Value, axis: int, chosen: Positions) -> Value:
    extent = x.shape[axis]
    group = _common_block(chosen, extent)
    if group > 1:
        blocks = take(b, cuts.folded(b, x, axis, group), axis, chosen[::group] // group)
        return cuts.joined(b, blocks, axis)
    even = is_even(chosen)
    step = int(chosen[1] - chosen[0]) if len(chosen) > 1 else extent
    if even and chosen[0] == 0 and step > 0 and len(chosen) == len(range(0, extent, step)):
        return cuts.every(b, x, axis, step)
    if len(chosen) * extent <= SMALL:
        matrix = np.zeros((len(chosen), extent))
        matrix[np.arange(len(chosen)), chosen] = 1.0
        return apply_matrix(b, x, axis, matrix)
    if even:
        return _evenly(b, x, axis, chosen)
    repeats = _first_change(chosen == chosen[0])
    if repeats > 1 and len(chosen) % repeats == 0:
        rows = chosen.reshape(-1, repeats)
        if (rows == rows[:, :1]).all():
            return cuts.repeat_entries(b, take(b, x, axis, rows[:, 0]), axis, repeats)
    windows = _windows(chosen)
    if windows is not None:
        step, size = windows
        return _overlapping(b, x, axis, chosen[::size], step, size)
    runs = _even_runs(chosen)
    if len(runs) <= PARTS:
        return b.concat([take(b, x, axis, part) for part in runs], axis)
    return _by_product(b, x, axis, chosen)


def is_even(chosen: Positions) -> bool:
    """Whether each position follows the one before it by the same step."""
    return len(chosen) < 2 or bool((np.diff(chosen) == chosen[1] - chosen[0]).all())


def _evenly(b: Builder, x: Value, axis: int, chosen: Positions) -> Value:
    """Positions in equal steps, of either sign or none."""
    first, last = int(chosen[0]), int(chosen[-1])
    step = (last - first) // (len(chosen) - 1) if len(chosen) > 1 else 1
    if step == 0:
        return cuts.repeat_entries(b, cuts.one(b, x, axis, first), axis, len(chosen))
    if step < 0:
        return cuts.backwards(b, take(b, x, axis, chosen[::-1]), axis)
    if step == 1:
        return cuts.run(b, x, axis, first, last + 1)
    if x.shape[axis] % step == 0:
        column = cuts.one(b, cuts.folded(b, x, axis, step), axis + 1, first % step)
        rows = range(first // step, last // step + 1)
        return take(b, cuts.joined(b, column, axis), axis, rows)
    return cuts.every(b, cuts.run(b, x, axis, first, last + 1), axis, step)


def _first_change(holds: NDArray[np.bool_]) -> int:
    """How many entries are true before the first that is not."""
    return len(holds) if holds.all() else int(np.argmin(holds))


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


def _windows(chosen: Positions) -> tuple[int, int] | None:
    """(step, size) where the positions are those of windows, each a step after the one before."""
    size = _first_change(np.diff(chosen) == 1) + 1
    if size < 2 or len(chosen) % size or len(chosen) == size:
        return None
    rows = chosen.reshape(-1, size)
    starts = rows[:, 0]
    if not is_even(starts) or not (rows == starts[:, None] + np.arange(size)).all():
        return None
    step = int(starts[1] - starts[0])
    return (step, size) if step > 0 and size // math.gcd(step, size) <= 2 * PARTS else None


def _overlapping(b: Builder, x: Value, axis: int, starts: Positions, step: int, size: int) -> Value:
    """Windows joined of what lies at one place of each."""
    unit = math.gcd(step, size)
    parts = []
    for offset in range(0, size, unit):
        places = (starts[:, None] + offset + np.arange(unit)).reshape(-1)
        part = take(b, x, axis, places)
        parts.append(cuts.folded(b, part, axis, unit))
    return cuts.joined(b, b.concat(parts, axis + 1), axis)


def _even_runs(chosen: Positions) -> list[Positions]:
    """The positions cut where the step changes; the longer of two runs has what both could."""
    steps = np.diff(chosen)
    ends = [*(np.flatnonzero(np.diff(steps)) + 1).tolist(), len(steps)]
    lengths = np.diff([0, *ends]).tolist()
    stops = [
        end + (length >= after)
        for end, length, after in zip(ends, lengths, [*lengths[1:], 0], strict=True)
    ]
    found = np.split(chosen, stops)
    return [part for part in found if len(part)]


def _by_product(b: Builder, x: Value, axis: int, chosen: Positions) -> Value:
    """Any positions: a product with rows that are 1 at one place, made of the positions' digits.

    Where the rest of x is small, a block is chosen first and then its entry, which holds less.
    """
    before, extent, after = split_at(x.shape, axis)
    out = (*x.shape[:axis], len(chosen), *x.shape[axis + 1 :])
    size = math.isqrt(extent // max(before * after, 1))
    if size < 2:
        whole = b.reshape(x, (before, extent, after))
        return b.reshape(b.node(Matmul(), places(b, chosen, extent), whole), out)
    rows = cuts.folded(b, cuts.padded(b, x, axis, 0, -extent % size), axis, size)
    count = rows.shape[axis]
    blocks = b.reshape(rows, (before, count, size * after))
    near = b.node(Matmul(), places(b, chosen // size, count), blocks)
    split = b.reshape(near, (before, len(chosen), size, after))
    entry = b.reshape(places(b, chosen % size, size), (len(chosen), 1, size))
    return b.reshape(b.node(Matmul(), entry, split), out)


def places(b: Builder, positions: Positions, extent: int) -> Value:
    """(*positions, extent): 1 at each position, else 0, made of numbers below `DIGIT`."""
    b.budget.spend_for_a_while(positions.size)
    if positions.size * extent <= SMALL:
        return b.const(np.eye(extent)[positions])
    if extent <= DIGIT:
        return one_hot(b, b.const(positions.astype(np.float64)), extent)
    count = -(-extent // DIGIT)
    high = places(b, positions // DIGIT, count)
    low = places(b, positions % DIGIT, DIGIT)
    whole = mul(
        b,
        b.reshape(high, (*positions.shape, count, 1)),
        b.reshape(low, (*positions.shape, 1, DIGIT)),
    )
    flat = b.reshape(whole, (*positions.shape, count * DIGIT))
    return take(b, flat, flat.rank - 1, range(extent))


def slice_axis(b: Builder, x: Value, axis: int, start: int, stop: int, step: int = 1) -> Value:
    """`x[..., start:stop:step, ...]` by Python's own rules."""
    positions = range(x.shape[axis])[start:stop:step]
    return take(b, x, axis, positions)


def select(b: Builder, x: Value, axis: int, index: int) -> Value:
    """One position of an axis, which is dropped."""
    axis %= x.rank
    return b.reshape(take(b, x, axis, [index]), x.shape[:axis] + x.shape[axis + 1 :])
