"""ONNX ops that sum, average or compare along axes, and products of matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hatch_irpytorch.capture.builder import Builder, Value
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.capture.layers import products as p
from hatch_irpytorch.capture.layers import reductions as r
from hatch_irpytorch.capture.layers.determinants import determinant
from hatch_irpytorch.capture.layers.positions import (
    largest_entries,
    position_of_largest,
    position_of_smallest,
    smallest_entries,
)
from hatch_irpytorch.capture.onnx.tensors import Call, axis_of
from hatch_irpytorch.ir.ops.elementwise import Log
from hatch_irpytorch.ir.ops.learned import EVERY_WEIGHT
from hatch_irpytorch.ir.shapes import numel

Handler = Callable[[Call], Any]
Reduce = Callable[[Builder, Value, Sequence[int] | None, bool], Value]

_AXIS_TO_THE_END = 13
"""Before this opset, softmax worked on all axes from `axis` on, as one."""


def _reduction(function: Reduce) -> Handler:
    def convert(c: Call) -> Value:
        axes = c.ints_of("axes", 1, "axes")
        nothing_to_do = bool(c.get("noop_with_empty_axes", 0)) and not axes
        keep = bool(c.get("keepdims", 1))
        if nothing_to_do:
            return function(c.b, c.b.reshape(c.x, (*c.x.shape, 1)), [c.x.rank], False)
        return function(c.b, c.x, axes, keep)

    return convert


def _norm(order: float) -> Reduce:
    return lambda b, x, axes, keep: r.norm(b, x, order, axes, keep)


def _log_sum(b: Builder, x: Value, axes: Sequence[int] | None, keep: bool) -> Value:
    return b.node(Log(), r.total(b, x, axes, keep))


def _sum_square(b: Builder, x: Value, axes: Sequence[int] | None, keep: bool) -> Value:
    return r.total(b, e.square(b, x), axes, keep)


def along_axis(function: Callable[[Builder, Value, int], Value]) -> Handler:
    """Of softmax and its like, with the axes that the opset means."""

    def convert(c: Call) -> Value:
        if c.version >= _AXIS_TO_THE_END:
            return function(c.b, c.x, axis_of(c.get("axis", -1), max(c.x.rank, 1)))
        axis = axis_of(c.get("axis", 1), max(c.x.rank, 1))
        rows = (numel(c.x.shape[:axis]), numel(c.x.shape[axis:]))
        return c.b.reshape(function(c.b, c.b.reshape(c.x, rows), 1), c.x.shape)

    return convert


def _cumsum(c: Call) -> Value:
    axis = int(c.array(1, "an axis").reshape(()))
    exclusive, reverse = bool(c.get("exclusive", 0)), bool(c.get("reverse", 0))
    return r.cumulative_sum(c.b, c.x, axis, exclusive, reverse)


def _cumprod(c: Call) -> Value:
    axis = axis_of(int(c.array(1, "an axis").reshape(())), c.x.rank)
    exclusive, reverse = bool(c.get("exclusive", 0)), bool(c.get("reverse", 0))
    return r.cumulative_product(c.b, c.x, axis, exclusive, reverse)


def _matmul(c: Call) -> Value:
    """A product; by a trained matrix of its own it is a `linear` node without bias."""
    if c.is_own(1) and c.is_constant(1) and not c.is_constant(0):
        weight = c.stored(1, "a weight")
        if weight.ndim == 2:
            y = p.linear(c.b, c.x, weight.T, None, EVERY_WEIGHT)
            c.scope.bare_products[y.id] = c.x, weight.T
            return y
    return p.matmul(c.b, c.value(0), c.value(1))


def _gemm(c: Call) -> Value:
    b, alpha, beta = c.b, c.get("alpha", 1.0), c.get("beta", 1.0)
    x = b.transpose(c.value(0), 0, 1) if c.get("transA", 0) else c.value(0)
    if c.is_own(1) and c.is_constant(1):
        given = c.stored(1, "a weight") if alpha == 1.0 else alpha * c.reals(1, "a weight")
        weight = given if c.get("transB", 0) else given.T
        shift = c.optional_reals(2, "a bias") if c.is_constant(2) or not c.has(2) else None
        flat = shift is None or shift.size == 1 or shift.shape in ((len(weight),), (1, len(weight)))
        if flat and (shift is not None or not c.has(2)):
            bias = None if shift is None else np.broadcast_to(shift.reshape(-1) * beta, len(weight))
            return p.linear(b, x, weight, bias, c.learned_weight())
        y = p.linear(b, x, weight, None, EVERY_WEIGHT)
    else:
        other = b.transpose(c.value(1), 0, 1) if c.get("transB", 0) else c.value(1)
        y = e.scaled(b, p.matmul(b, x, other), alpha)
    return e.add(b, y, e.scaled(b, c.value(2), beta)) if c.has(2) else y


def _einsum(c: Call) -> Value:
    return p.einsum(c.b, c.get("equation", ""), *c.values())


def _position(function: Callable[..., Value]) -> Handler:
    def convert(c: Call) -> Value:
        axis, keep = int(c.get("axis", 0)), bool(c.get("keepdims", 1))
        last = bool(c.get("select_last_index", 0))
        return function(c.b, c.x, axis_of(axis, c.x.rank), keep, last)

    return convert


def _top(c: Call) -> tuple[Value, Value]:
    (count,) = c.ints_of("k", 1, "a count of the largest entries") or [0]
    axis = axis_of(c.get("axis", -1), c.x.rank)
    c.get("sorted", 1)  # sorted entries are as good as any
    found = largest_entries if c.get("largest", 1) else smallest_entries
    return found(c.b, c.x, count, axis)


OPS: dict[str, Handler] = {
    "ArgMax": _position(position_of_largest),
    "ArgMin": _position(position_of_smallest),
    "CumProd": _cumprod,
    "CumSum": _cumsum,
    "Det": lambda c: determinant(c.b, c.x),
    "Einsum": _einsum,
    "Gemm": _gemm,
    "LogSoftmax": along_axis(r.log_softmax),
    "MatMul": _matmul,
    "ReduceL1": _reduction(_norm(1.0)),
    "ReduceL2": _reduction(_norm(2.0)),
    "ReduceLogSum": _reduction(_log_sum),
    "ReduceLogSumExp": _reduction(r.log_sum_exp),
    "ReduceMax": _reduction(r.largest),
    "ReduceMean": _reduction(r.mean),
    "ReduceMin": _reduction(r.smallest),
    "ReduceProd": _reduction(r.product),
    "ReduceSum": _reduction(r.total),
    "ReduceSumSquare": _reduction(_sum_square),
    "Softmax": along_axis(r.softmax),
    "TopK": _top,
}
"""By op type."""
