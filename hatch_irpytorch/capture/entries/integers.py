"""Whole numbers: where they are equal, and that they stay within a table.

A graph holds ids as reals. Of whole numbers `relu(1 - |x - y|)` is 1 where they are equal, else 0,
exactly.
"""

from __future__ import annotations

import numpy as np

from hatch_irpytorch.capture.bounds import bounds
from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Value
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.ir.ops.elementwise import Abs

MAX_EXACT = 2.0**24
"""Up to here a float32 module holds whole numbers, and their sums, as they are."""


def is_whole(b: Builder, value: Value) -> bool:
    """Whether a value is known to hold whole numbers that a float32 module has exactly."""
    found = bounds(b, value)
    return found is not None and max(abs(found[0]), abs(found[1])) <= MAX_EXACT


def equal(b: Builder, x: Value, y: Value) -> Value:
    """1 where two values of whole numbers are equal, else 0."""
    if not is_whole(b, x) or not is_whole(b, y):
        raise InexpressibleError("an equality of numbers that may not be whole")
    difference = b.node(Abs(), e.sub(b, x, y))
    return e.relu(b, e.sub(b, b.full(difference.shape, 1.0), difference))


def one_hot(b: Builder, ids: Value, count: int) -> Value:
    """Rows of `count` entries for whole numbers: 1 at that number, else 0."""
    positions = b.const(np.arange(count, dtype=np.float64))
    return equal(b, b.reshape(ids, (*ids.shape, 1)), positions)


def require_below(b: Builder, ids: Value, count: int, what: str) -> None:
    """Raise where a value may hold others than whole numbers from 0 to `count` - 1."""
    found = bounds(b, ids)
    if found is None:
        raise InexpressibleError(f"{what} that depends on the input and may not be whole")
    if found[0] < 0 or found[1] >= count:
        low, high = map(int, found)
        raise InexpressibleError(f"{what} from {low} to {high} for a table of {count} rows")
