"""Sums, means, extremes and norms over several axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Value, split_at
from hatch_irpytorch.capture.entries.elementwise import add, exp, mul, neg, scaled, square, sub
from hatch_irpytorch.capture.entries.powers import power
from hatch_irpytorch.capture.selections.cuts import padded
from hatch_irpytorch.capture.selections.matrices import apply_matrix
from hatch_irpytorch.capture.selections.movement import flip
from hatch_irpytorch.capture.selections.selection import take
from hatch_irpytorch.ir.ops import Op
from hatch_irpytorch.ir.ops.elementwise import Abs, Log, Sqrt
from hatch_irpytorch.ir.ops.pooling import MaxPool
from hatch_irpytorch.ir.ops.reduction import ReduceMean, ReduceSum
from hatch_irpytorch.ir.ops.softmaxes import Softmax
from hatch_irpytorch.ir.shapes import numel


def normal_axes(axes: Sequence[int] | None, rank: int) -> tuple[int, ...]:
    """The axes as natural numbers in rising order; none given means all."""
    for axis in axes or ():
        if not -max(rank, 1) <= axis < max(rank, 1):
            raise InexpressibleError(f"axis {axis} of a tensor with {rank}")
    chosen = range(rank) if not axes else (axis % max(rank, 1) for axis in axes)
    return tuple(sorted(set(chosen))) if rank else ()


def _reduced(
    b: Builder, x: Value, op: type[ReduceSum | ReduceMean], axes: tuple[int, ...], keep: bool
) -> Value:
    shape = x.shape
    for axis in reversed(axes):
        x = _reduced_axis(b, x, op, axis)
    kept = tuple(1 if axis in axes else extent for axis, extent in enumerate(shape))
    return b.reshape(x, kept) if keep else x


def _reduced_axis(b: Builder, x: Value, op: type[ReduceSum | ReduceMean], axis: int) -> Value:
    out = x.shape[:axis] + x.shape[axis + 1 :]
    if x.shape[axis] == 1:
        return b.reshape(x, out)
    if x.shape[axis] == 0:
        if op is ReduceMean:
            raise InexpressibleError("a mean over no entries")
        return b.full(out, 0.0)
    node: Op = op(axis)
    return b.node(node, x)


def total(b: Builder, x: Value, axes: Sequence[int] | None, keep: bool) -> Value:
    return _reduced(b, x, ReduceSum, normal_axes(axes, x.rank), keep)


def mean(b: Builder, x: Value, axes: Sequence[int] | None, keep: bool) -> Value:
    return _reduced(b, x, ReduceMean, normal_axes(axes, x.rank), keep)


def variance(
    b: Builder, x: Value, axes: Sequence[int] | None, keep: bool, correction: float = 0.0
) -> Value:
    """Mean squared distance from the mean; `correction` is taken off the count."""
    chosen = normal_axes(axes, x.rank)
    count = int(np.prod([x.shape[axis] for axis in chosen], dtype=np.int64))
    if count <= correction:
        raise InexpressibleError("a variance of too few entries")
    spread = square(b, sub(b, x, mean(b, x, chosen, True) if chosen else x))
    result = mean(b, spread, chosen, keep) if chosen else spread
    return scaled(b, result, count / (count - correction))


def largest(b: Builder, x: Value, axes: Sequence[int] | None, keep: bool) -> Value:
    """The largest entry along the axes, by windows that span them."""
    chosen = normal_axes(axes, x.rank)
    shape = x.shape
    for axis in chosen:
        x = _largest_axis(b, x, axis)
    kept = tuple(1 if axis in chosen else extent for axis, extent in enumerate(shape))
    rest = tuple(extent for axis, extent in enumerate(shape) if axis not in chosen)
    return b.reshape(x, kept if keep else rest)


def _largest_axis(b: Builder, x: Value, axis: int) -> Value:
    before, extent, after = split_at(x.shape, axis)
    if extent == 0:
        raise InexpressibleError("an extreme over no entries")
    if extent == 1:
        return x
    out = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    if after == 1:
        folded = b.reshape(x, (before, extent))
        return b.reshape(b.node(MaxPool(1, (extent,), (extent,), (0,)), folded), out)
    folded = b.reshape(x, (before, extent, after))
    return b.reshape(b.node(MaxPool(2, (extent, 1), (extent, 1), (0, 0)), folded), out)


def smallest(b: Builder, x: Value, axes: Sequence[int] | None, keep: bool) -> Value:
    return neg(b, largest(b, neg(b, x), axes, keep))


def product(b: Builder, x: Value, axes: Sequence[int] | None, keep: bool) -> Value:
    """The product along the axes, halved until one entry is left."""
    chosen = normal_axes(axes, x.rank)
    shape = x.shape
    for axis in chosen:
        if x.shape[axis] == 0:
            x = b.full((*x.shape[:axis], 1, *x.shape[axis + 1 :]), 1.0)
        while x.shape[axis] > 1:
            half = x.shape[axis] // 2
            pairs = [take(b, x, axis, range(start, start + half)) for start in (0, half)]
            rest = take(b, x, axis, range(2 * half, x.shape[axis]))
            x = b.concat([mul(b, *pairs), rest], axis)
    kept = tuple(1 if axis in chosen else extent for axis, extent in enumerate(shape))
    rest_shape = tuple(extent for axis, extent in enumerate(shape) if axis not in chosen)
    return b.reshape(x, kept if keep else rest_shape)


def norm(b: Builder, x: Value, order: float, axes: Sequence[int] | None, keep: bool) -> Value:
    """The vector norm of any order but 0."""
    if order == 2.0:
        return b.node(Sqrt(), total(b, square(b, x), axes, keep))
    size = b.node(Abs(), x)
    if order == 1.0:
        return total(b, size, axes, keep)
    if order == np.inf:
        return largest(b, size, axes, keep)
    if order == -np.inf:
        return smallest(b, size, axes, keep)
    if order == 0.0:
        raise InexpressibleError("a norm of order 0, which counts entries")
    return power(b, total(b, power(b, size, order), axes, keep), 1.0 / order)


def log_sum_exp(b: Builder, x: Value, axes: Sequence[int] | None, keep: bool) -> Value:
    """log Σ e**x with the largest entry taken out first."""
    chosen = normal_axes(axes, x.rank)
    top = largest(b, x, chosen, True)
    inner = b.node(Log(), total(b, exp(b, sub(b, x, top)), chosen, True))
    result = add(b, inner, top)
    rest = tuple(extent for axis, extent in enumerate(x.shape) if axis not in chosen)
    return result if keep else b.reshape(result, rest)


def softmax(b: Builder, x: Value, axis: int) -> Value:
    if x.rank == 0:
        return b.full((), 1.0)
    return b.node(Softmax(axis % x.rank), x)


def log_softmax(b: Builder, x: Value, axis: int) -> Value:
    """x - log Σ e**x: `log` of a softmax would leave its domain where an entry is tiny."""
    if x.rank == 0:
        return b.full((), 0.0)
    if not numel(x.shape):
        return x
    centred = sub(b, x, largest(b, x, [axis], True))
    return sub(b, centred, b.node(Log(), total(b, exp(b, centred), [axis], True)))


def cumulative_sum(
    b: Builder, x: Value, axis: int, exclusive: bool = False, reverse: bool = False
) -> Value:
    """Sums of all entries up to each position, as a product with a triangular matrix."""
    if x.rank == 0:
        return x
    extent = x.shape[axis]
    b.budget.spend_for_a_while(extent**2)
    matrix = np.tril(np.ones((extent, extent)), -1 if exclusive else 0)
    return apply_matrix(b, x, axis, matrix.T if reverse else matrix)


def cumulative_product(
    b: Builder, x: Value, axis: int, exclusive: bool = False, reverse: bool = False
) -> Value:
    """Products of all entries up to each position: by those 1, 2, 4 and so on before."""
    if x.rank == 0:
        return x
    axis %= x.rank
    if reverse:
        return flip(b, cumulative_product(b, flip(b, x, [axis]), axis, exclusive), [axis])
    extent, distance = x.shape[axis], 1
    if exclusive and extent:
        x = padded(b, take(b, x, axis, range(extent - 1)), axis, 1, 0, 1.0)
    while distance < extent:
        earlier = take(b, x, axis, range(extent - distance))
        ones = b.full((*x.shape[:axis], distance, *x.shape[axis + 1 :]), 1.0)
        x = mul(b, x, b.concat([ones, earlier], axis))
        distance *= 2
    return x
