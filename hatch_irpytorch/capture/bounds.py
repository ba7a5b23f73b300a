"""Between which numbers a value lies, whatever the input: by intervals, node by node.

An interval holds for what a module computes in its own precision: where an op rounds, its ends are
moved apart by more than that. Infinite and undefined entries of an input lie in none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hatch_irpytorch.capture.builder import Builder, Value
from hatch_irpytorch.capture.intervals import (
    ANY,
    EXACT,
    REAL,
    Ends,
    Interval,
    square,
    times,
    widened,
    with_zero,
)
from hatch_irpytorch.ir.ops import Input, Op
from hatch_irpytorch.ir.ops.pooling import AvgPool
from hatch_irpytorch.ir.shapes import numel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_STEP = {"bfloat16": 2.0**-6, "float16": 2.0**-9}
"""Above the relative error of a few operations, by the dtype of a module."""
_FINE_STEP = 2.0**-21


def bounds(b: Builder, value: Value) -> Ends | None:
    """What bounds a value that is known to hold whole numbers; None for any other."""
    found = interval(b, value)
    return found.ends if found.whole else None


def interval(b: Builder, value: Value) -> Interval:
    """What bounds a value, and whether it is known to hold whole numbers."""
    waiting = [value]
    while waiting:
        current = waiting[-1]
        missing = []
        if not _is_fixed(b, current):
            missing = [x for x in b.parents(current) if x.id not in b.bounds]
        if not missing:
            waiting.pop()
            if current.id not in b.bounds:
                b.bounds[current.id] = _interval(b, current)
        waiting += missing
    return b.bounds[value.id]


def _interval(b: Builder, value: Value) -> Interval:
    op = b.op(value)
    if isinstance(op, Input):
        return ANY if op.integers is None else Interval(0.0, op.integers - 1.0, True)
    if _is_fixed(b, value):
        return _of_numbers(b.array(value), _step(b))
    given = [b.bounds[parent.id] for parent in b.parents(value)]
    found = _of_op(b, value, op, given) if given else ANY
    return found if found.whole and found.is_finite else Interval(*found.ends)


def _is_fixed(b: Builder, value: Value) -> bool:
    """Whether neither the input nor training changes a value."""
    return b.is_constant(value) and not b.is_learned(value)


def _step(b: Builder) -> float:
    return _STEP.get(b.dtype, _FINE_STEP)


def _of_numbers(array: Array, step: float) -> Interval:
    """The least and the largest of given numbers; those of none at all are zeros."""
    if not np.isfinite(array).all():
        return ANY
    ends = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    if (array == np.floor(array)).all():
        return Interval(*ends, True)
    return Interval(*widened(ends, step * max(map(abs, ends))))


def _of_op(b: Builder, value: Value, op: Op, given: Sequence[Interval]) -> Interval:
    whole = all(part.whole for part in given)
    if isinstance(op, AvgPool) and set(op.kernel) <= {1}:
        return Interval(*with_zero(given[0].ends), whole)
    if op.tag == "mul_elem" and len(set(b.parents(value))) == 1:
        return _sum(b, square(given[0].ends), 1, whole)
    rule = EXACT.get(op.tag)
    if rule is not None:
        ends = rule(*(part.ends for part in given))
        rounds = op.tag in ("add", "sub", "mul_elem")
        return _sum(b, ends, 1, whole) if rounds else Interval(*ends, whole)
    terms = max(numel(b.parent(value, 0).shape) // max(numel(value.shape), 1), 1)
    if op.tag in ("sum", "reduce_sum"):
        return _sum(b, times(given[0].ends, (float(terms), float(terms))), terms, whole)
    if op.tag == "matmul":
        return _matrix_product(b, value, given, whole)
    if op.tag in ("linear", "conv"):
        return _weighted(b, value, op, given[0])
    rule = REAL.get(op.tag)
    if rule is None:
        return ANY
    terms = numel(op.kernel) if isinstance(op, AvgPool) else terms
    return _sum(b, rule(*(part.ends for part in given)), terms, False)


def _sum(b: Builder, ends: Ends, terms: int, whole: bool, size: float | None = None) -> Interval:
    """Ends of a sum of so many terms, of this size all together; partial sums are rounded."""
    if whole:
        return Interval(*ends, True)
    if size is None:
        size = max((abs(end) for end in ends if np.isfinite(end)), default=0.0)
    return Interval(*widened(ends, _step(b) * (terms + 1) * size))


def _matrix_product(b: Builder, value: Value, given: Sequence[Interval], whole: bool) -> Interval:
    """A product; where one factor is constant, its ends are by the sums of its own entries."""
    left, right = b.parents(value)
    terms = left.shape[-1]
    ends = times(times(given[0].ends, given[1].ends), (float(terms), float(terms)))
    size = max(map(abs, ends))
    for x, axis, other in (
        (left, -1, given[1]),
        (right, -2 if right.rank > 1 else -1, given[0]),
    ):
        if _is_fixed(b, x) and other.is_finite:
            least, most = _terms(b.array(x), other.ends)
            ends = _extremes(least.sum(axis=axis), most.sum(axis=axis))
    return _sum(b, ends, terms, whole, size)


def _weighted(b: Builder, value: Value, op: Op, given: Interval) -> Interval:
    """Sums with weights, of which padding may leave some terms out; training moves weights."""
    slots = op.payload(b.parent(value, 0).shape)
    payload = {name: array.astype(np.float64) for name, array in b.payload(value).items()}
    weight, bias = payload["weight"], payload["bias"]
    whole = given.whole and all((part == np.floor(part)).all() for part in (weight, bias))
    if not given.is_finite or (any(slot.learned for slot in slots) and not whole):
        return ANY
    axes = tuple(range(1, weight.ndim))
    least, most = _terms(weight, with_zero(given.ends))
    ends = _extremes(least.sum(axis=axes) + bias, most.sum(axis=axes) + bias)
    size = np.abs(weight).sum(axis=axes).max(initial=0.0) * given.size
    size += np.abs(bias).max(initial=0.0)
    return _sum(b, ends, numel(weight.shape[1:]) + 1, whole, float(size))


def _extremes(least: Array, most: Array) -> Ends:
    return float(least.min(initial=np.inf)), float(most.max(initial=-np.inf))


def _terms(factors: Array, given: Ends) -> tuple[Array, Array]:
    """The least and the largest products of factors with numbers within bounds."""
    low, high = factors * given[0], factors * given[1]
    return np.minimum(low, high), np.maximum(low, high)
