"""Whole numbers: what bounds them, where they are equal, and the rows that they choose.

A graph holds ids as reals. Of whole numbers `relu(1 - |x - y|)` is 1 where they are equal, else 0,
exactly, and a table by such rows is looked up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hatch_irpytorch.capture import elementwise as e
from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Value
from hatch_irpytorch.ir.ops import Input, Op
from hatch_irpytorch.ir.ops.elementwise import Abs
from hatch_irpytorch.ir.ops.pooling import AvgPool
from hatch_irpytorch.ir.ops.products import Matmul
from hatch_irpytorch.ir.shapes import numel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Bounds = tuple[float, float]
"""The least and the largest that the entries of a value of whole numbers may be."""

_EXACT = float(2**24)
"""Up to here a float32 module holds whole numbers, and their sums, as they are."""

_MOVES = frozenset({"broadcast_to", "reshape", "flatten", "permute", "transpose", "detach"})


def bounds(b: Builder, value: Value) -> Bounds | None:
    """What bounds a value that holds whole numbers, whatever the input; None for any other."""
    waiting = [value]
    while waiting:
        current = waiting[-1]
        if current.id in b.bounds:
            waiting.pop()
            continue
        missing = [x for x in b.parents(current) if x.id not in b.bounds]
        if missing and not b.is_constant(current):
            waiting += missing
        else:
            b.bounds[current.id] = _bounds(b, current)
            waiting.pop()
    return b.bounds[value.id]


def is_whole(b: Builder, value: Value) -> bool:
    """Whether a value is known to hold whole numbers that a float32 module has exactly."""
    found = bounds(b, value)
    return found is not None and max(abs(found[0]), abs(found[1])) <= _EXACT


def _bounds(b: Builder, value: Value) -> Bounds | None:
    op = b.op(value)
    if isinstance(op, Input):
        return None if op.integers is None else (0.0, op.integers - 1.0)
    if b.is_constant(value):
        return None if b.is_learned(value) else _extremes(b.array(value))
    found = [b.bounds[x.id] for x in b.parents(value)]
    given = [one for one in found if one is not None]
    if len(given) < len(found):
        return None
    return _combined(b, value, op, given)


def _extremes(array: Array) -> Bounds | None:
    if not array.size:
        return 0.0, 0.0
    if not np.isfinite(array).all() or (array != np.floor(array)).any():
        return None
    return float(array.min()), float(array.max())


def _combined(b: Builder, value: Value, op: Op, given: Sequence[Bounds]) -> Bounds | None:
    tag = op.tag
    (low, high), (other_low, other_high) = given[0], given[-1]
    if tag in _MOVES:
        return low, high
    if tag == "concat":
        return min(one[0] for one in given), max(one[1] for one in given)
    if tag == "add":
        return low + other_low, high + other_high
    if tag == "sub":
        return low - other_high, high - other_low
    if tag == "mul_elem":
        return _product(given[0], given[-1])
    if tag == "max_elem":
        return max(low, other_low), max(high, other_high)
    if tag == "min_elem":
        return min(low, other_low), min(high, other_high)
    if tag == "relu":
        return max(low, 0.0), max(high, 0.0)
    if tag == "abs":
        return max(low, -high, 0.0), max(high, -low)
    if tag == "max_pool" or (isinstance(op, AvgPool) and set(op.kernel) <= {1}):
        return low, high
    if tag in ("linear", "conv"):
        return _weighted(b.payload(value), given[0])
    if tag in ("sum", "reduce_sum"):
        (x,) = b.parents(value)
        count = numel(x.shape) / max(numel(value.shape), 1)
        return _product((low, high), (count, count))
    if tag == "matmul":
        return _matrix_product(b, value, given)
    return None


def _weighted(payload: Mapping[str, Array], given: Bounds) -> Bounds | None:
    """Bounds of sums with weights, of which padding may leave some out."""
    weight, bias = payload["weight"], payload["bias"]
    if _extremes(weight) is None or _extremes(bias) is None:
        return None
    low, high = given
    axes = tuple(range(1, weight.ndim))
    least = np.minimum(np.minimum(weight * low, weight * high), 0.0).sum(axis=axes) + bias
    most = np.maximum(np.maximum(weight * low, weight * high), 0.0).sum(axis=axes) + bias
    return float(least.min(initial=0.0)), float(most.max(initial=0.0))


def _product(x: Bounds, y: Bounds) -> Bounds:
    corners = [a * c for a in x for c in y]
    return min(corners), max(corners)


def _matrix_product(b: Builder, value: Value, given: Sequence[Bounds]) -> Bounds:
    """Bounds of a product; where one factor is constant, by the sums of its own entries."""
    left, right = b.parents(value)
    for x, place in ((left, -1), (right, -2 if right.rank > 1 else -1)):
        if b.is_constant(x):
            low, high = given[1] if x is left else given[0]
            matrix = b.array(x)
            smallest = np.minimum(matrix * low, matrix * high).sum(axis=place)
            largest = np.maximum(matrix * low, matrix * high).sum(axis=place)
            return float(smallest.min(initial=0.0)), float(largest.max(initial=0.0))
    count = float(left.shape[-1])
    return _product(_product(given[0], given[1]), (count, count))


def equal(b: Builder, x: Value, y: Value) -> Value:
    """1 where two values of whole numbers are equal, else 0."""
    for value in (x, y):
        if not is_whole(b, value):
            raise InexpressibleError("an equality of numbers that may not be whole")
    shape = np.broadcast_shapes(x.shape, y.shape)
    difference = e.sub(b, b.broadcast(x, shape), b.broadcast(y, shape))
    return e.relu(b, e.sub(b, b.full(shape, 1.0), b.node(Abs(), difference)))


def one_hot(b: Builder, ids: Value, count: int) -> Value:
    """Rows of `count` entries for whole numbers: 1 at that number, else 0."""
    positions = b.const(np.arange(count, dtype=np.float64))
    return equal(b, b.reshape(ids, (*ids.shape, 1)), positions)


def look_up(b: Builder, table: Value, ids: Value, what: str = "an id") -> Value:
    """The rows of a table at whole numbers: one for each, along its first axis."""
    count = table.shape[0]
    require_below(b, ids, count, what)
    rows = one_hot(b, ids, count)
    inner = table.shape[1:]
    flat = b.reshape(table, (count, numel(inner)))
    return b.reshape(b.node(Matmul(), rows, flat), (*ids.shape, *inner))


def require_below(b: Builder, ids: Value, count: int, what: str) -> None:
    """Raise where whole numbers may lie outside of 0 to `count` - 1, or may not be whole."""
    found = bounds(b, ids)
    if found is None:
        raise InexpressibleError(f"{what} that depends on the input and may not be whole")
    if found[0] < 0 or found[1] >= count:
        low, high = (int(one) for one in found)
        raise InexpressibleError(f"{what} from {low} to {high} for a table of {count} rows")
