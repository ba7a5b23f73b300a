"""Between which whole numbers a value lies, whatever the input: by intervals, node by node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hatch_irpytorch.capture.builder import Builder, Value
from hatch_irpytorch.ir.ops import Input, Op
from hatch_irpytorch.ir.ops.pooling import AvgPool
from hatch_irpytorch.ir.shapes import numel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Bounds = tuple[float, float]
"""The least and the largest that the entries of a value of whole numbers may be."""


def bounds(b: Builder, value: Value) -> Bounds | None:
    """What bounds a value that is known to hold whole numbers; None for any other."""
    waiting = [value]
    while waiting:
        current = waiting[-1]
        missing = []
        if not b.is_constant(current):
            missing = [x for x in b.parents(current) if x.id not in b.bounds]
        if not missing:
            waiting.pop()
            if current.id not in b.bounds:
                b.bounds[current.id] = _bounds(b, current)
        waiting += missing
    return b.bounds[value.id]


def _bounds(b: Builder, value: Value) -> Bounds | None:
    op = b.op(value)
    if isinstance(op, Input):
        return None if op.integers is None else (0.0, op.integers - 1.0)
    if b.is_constant(value):
        return None if b.is_learned(value) else _extremes(b.array(value))
    given = []
    for parent in b.parents(value):
        found = b.bounds[parent.id]
        if found is None:
            return None
        given.append(found)
    return _of_op(b, value, op, given)


def _extremes(array: Array) -> Bounds | None:
    """The least and the largest of whole numbers; those of none at all are zeros."""
    if not np.isfinite(array).all() or (array != np.floor(array)).any():
        return None
    return (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)


def _of_op(b: Builder, value: Value, op: Op, given: Sequence[Bounds]) -> Bounds | None:
    rule = _RULES.get(op.tag)
    if rule is not None:
        return rule(*given)
    if isinstance(op, AvgPool) and set(op.kernel) <= {1}:
        return _spanned(given[0], (0.0, 0.0))
    if op.tag in ("sum", "reduce_sum"):
        count = numel(b.parent(value, 0).shape) / max(numel(value.shape), 1)
        return _product(given[0], (count, count))
    if op.tag == "matmul":
        return _matrix_product(b, value, given)
    if op.tag in ("linear", "conv"):
        payload = {name: array.astype(np.float64) for name, array in b.payload(value).items()}
        return _weighted(payload, given[0])
    return None


def _same(x: Bounds) -> Bounds:
    return x


def _sum(x: Bounds, y: Bounds) -> Bounds:
    return x[0] + y[0], x[1] + y[1]


def _difference(x: Bounds, y: Bounds) -> Bounds:
    return x[0] - y[1], x[1] - y[0]


def _product(x: Bounds, y: Bounds) -> Bounds:
    corners = [a * c for a in x for c in y]
    return min(corners), max(corners)


def _larger(x: Bounds, y: Bounds) -> Bounds:
    return max(x[0], y[0]), max(x[1], y[1])


def _smaller(x: Bounds, y: Bounds) -> Bounds:
    return min(x[0], y[0]), min(x[1], y[1])


def _spanned(*parts: Bounds) -> Bounds:
    return min(part[0] for part in parts), max(part[1] for part in parts)


def _relu(x: Bounds) -> Bounds:
    return max(x[0], 0.0), max(x[1], 0.0)


def _abs(x: Bounds) -> Bounds:
    return max(x[0], -x[1], 0.0), max(x[1], -x[0])


_RULES: dict[str, Callable[..., Bounds]] = {
    **dict.fromkeys(("broadcast_to", "detach", "flatten", "max_pool", "permute"), _same),
    **dict.fromkeys(("reshape", "transpose"), _same),
    "abs": _abs,
    "add": _sum,
    "concat": _spanned,
    "max_elem": _larger,
    "min_elem": _smaller,
    "mul_elem": _product,
    "relu": _relu,
    "sub": _difference,
}
"""Ops whose bounds follow from those of the parents alone."""


def _matrix_product(b: Builder, value: Value, given: Sequence[Bounds]) -> Bounds:
    """Bounds of a product; where one factor is constant, by the sums of its own entries."""
    left, right = b.parents(value)
    for x, axis, other in (
        (left, -1, given[1]),
        (right, -2 if right.rank > 1 else -1, given[0]),
    ):
        if b.is_constant(x):
            least, most = _terms(b.array(x), other)
            sums = least.sum(axis=axis), most.sum(axis=axis)
            return float(sums[0].min(initial=np.inf)), float(sums[1].max(initial=-np.inf))
    count = float(left.shape[-1])
    return _product(_product(given[0], given[1]), (count, count))


def _weighted(payload: Mapping[str, Array], given: Bounds) -> Bounds | None:
    """Bounds of sums with weights, of which padding may leave some terms out."""
    weight, bias = payload["weight"], payload["bias"]
    if _extremes(weight) is None or _extremes(bias) is None:
        return None
    axes = tuple(range(1, weight.ndim))
    least, most = _terms(weight, _spanned(given, (0.0, 0.0)))
    sums = least.sum(axis=axes) + bias, most.sum(axis=axes) + bias
    return float(sums[0].min(initial=np.inf)), float(sums[1].max(initial=-np.inf))


def _terms(factors: Array, given: Bounds) -> tuple[Array, Array]:
    """The least and the largest products of factors with numbers within bounds."""
    low, high = factors * given[0], factors * given[1]
    return np.minimum(low, high), np.maximum(low, high)
