"""Where along an axis the largest entries stand, as whole numbers."""

from __future__ import annotations

import numpy as np

from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Value
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.capture.entries.comparisons import at_least
from hatch_irpytorch.capture.entries.integers import one_hot
from hatch_irpytorch.capture.intervals import Interval
from hatch_irpytorch.capture.layers.reductions import largest
from hatch_irpytorch.ir.shapes import numel

_BELOW = 2.0**100
"""How far an entry that was taken is moved below all others."""


def position_of_largest(
    b: Builder, x: Value, axis: int | None, keep: bool, last: bool = False
) -> Value:
    """The position of the first of the largest entries, or of the last; over all where no axis is.

    Positions are weighed so that the largest weight among those entries tells it.
    """
    if axis is None:
        position = position_of_largest(b, b.reshape(x, (numel(x.shape),)), 0, False, last)
        return b.reshape(position, (1,) * x.rank if keep else ())
    if x.rank == 0:
        return b.const(0.0)
    axis %= x.rank
    count = x.shape[axis]
    hits = at_least(b, x, largest(b, x, [axis], True))
    weights = np.arange(1.0, count + 1) if last else np.arange(count, 0.0, -1.0)
    shaped = b.const(weights.reshape((count, *[1] * (x.rank - axis - 1))))
    weight = largest(b, e.mul(b, hits, shaped), [axis], keep)
    place = e.shifted(b, weight, -1.0) if last else e.shifted(b, e.neg(b, weight), float(count))
    b.bounds[place.id] = Interval(0.0, count - 1.0, True)
    return place


def hardmax(b: Builder, x: Value, axis: int) -> Value:
    """1 at the first of the largest entries along an axis, else 0."""
    rows = one_hot(b, position_of_largest(b, x, axis, False), x.shape[axis])
    last = rows.rank - 1
    return b.permute(rows, (*range(axis), last, *range(axis, last)))


def position_of_smallest(
    b: Builder, x: Value, axis: int | None, keep: bool, last: bool = False
) -> Value:
    """The same of the smallest entries."""
    return position_of_largest(b, e.neg(b, x), axis, keep, last)


def largest_entries(b: Builder, x: Value, count: int, axis: int) -> tuple[Value, Value]:
    """So many of the largest entries along an axis, in falling order, and their positions.

    One after another: each is moved out of the way of the next. An entry below -2**100 is found
    only before any is taken.
    """
    axis %= max(x.rank, 1)
    if not 0 < count <= (x.shape[axis] if x.rank else 1):
        raise InexpressibleError(
            f"the {count} largest entries of an axis of {x.shape[axis : axis + 1]}"
        )
    if not x.rank:
        return x, b.const(0.0)
    values, places = [], []
    for _ in range(count):
        values.append(largest(b, x, [axis], True))
        places.append(position_of_largest(b, x, axis, True))
        x = e.sub(b, x, e.scaled(b, hardmax(b, x, axis), _BELOW))
    return b.concat(values, axis), b.concat(places, axis)


def smallest_entries(b: Builder, x: Value, count: int, axis: int) -> tuple[Value, Value]:
    """The same of the smallest entries, in rising order."""
    values, places = largest_entries(b, e.neg(b, x), count, axis)
    return e.neg(b, values), places
