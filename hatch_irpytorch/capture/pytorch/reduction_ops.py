"""ATen ops that sum, average or compare along axes, and products of matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hatch_irpytorch.capture.builder import Value
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
from hatch_irpytorch.capture.pytorch.arguments import Handler, Number
from hatch_irpytorch.capture.pytorch.tensors import Context, Tensor
from hatch_irpytorch.ir.ops.elementwise import Log, Sqrt

Dims = int | Sequence[int] | None


def _axes(dim: Dims) -> Sequence[int] | None:
    return [dim] if isinstance(dim, int) else dim


def _reduction(function: Callable[..., Value]) -> Handler:
    def convert(
        c: Context, x: Tensor, dim: Dims = None, keepdim: bool = False, **_: object
    ) -> Value:
        return function(c.builder, c.value(x), _axes(dim), keepdim)

    return convert


def _extreme(
    whole: Callable[..., Value], positions: Callable[..., Value], of_two: Callable[..., Value]
) -> Handler:
    """`max` and `min`: of all entries, along an axis with the positions, or of two tensors."""

    def convert(
        c: Context, x: Tensor, dim: int | Tensor | None = None, keepdim: bool = False
    ) -> Any:
        b, value = c.builder, c.value(x)
        if dim is None:
            return whole(b, value, None, False)
        if not isinstance(dim, int):
            return of_two(b, value, c.value(dim))
        found = positions(b, value, dim, keepdim) if c.uses_result(1) else None
        return whole(b, value, [dim], keepdim), found

    return convert


def _position(function: Callable[..., Value]) -> Handler:
    def convert(c: Context, x: Tensor, dim: int | None = None, keepdim: bool = False) -> Value:
        return function(c.builder, c.value(x), dim, keepdim)

    return convert


def _top(
    c: Context, x: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[Value, Value]:
    return (largest_entries if largest else smallest_entries)(c.builder, c.value(x), k, dim)


def _variance(c: Context, x: Tensor, *args: Any, **named: Any) -> Value:
    axes, correction, keep = _variance_arguments(*args, **named)
    return r.variance(c.builder, c.value(x), axes, keep, correction)


def _variance_arguments(
    dim: Dims | bool = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: Number | None = None,
) -> tuple[Sequence[int] | None, float, bool]:
    if isinstance(dim, bool):
        return None, float(dim), False
    chosen = float(unbiased) if correction is None else float(correction)
    return _axes(dim), chosen, keepdim


def _deviation(c: Context, x: Tensor, *args: Any, **named: Any) -> Value:
    return c.builder.node(Sqrt(), _variance(c, x, *args, **named))


def _var_mean(c: Context, x: Tensor, *args: Any, **named: Any) -> tuple[Value, Value]:
    axes, _, keep = _variance_arguments(*args, **named)
    return _variance(c, x, *args, **named), r.mean(c.builder, c.value(x), axes, keep)


def _norm(
    c: Context,
    x: Tensor,
    order: Number | None = 2,
    dim: Dims = None,
    keepdim: bool = False,
    **_: object,
) -> Value:
    value = 2.0 if order is None else float(order)
    return r.norm(c.builder, c.value(x), value, _axes(dim), keepdim)


def _log_softmax(c: Context, x: Tensor, dim: int, *_: object, **__: object) -> Value:
    return r.log_softmax(c.builder, c.value(x), dim)


def _cumsum(c: Context, x: Tensor, dim: int, **_: object) -> Value:
    return r.cumulative_sum(c.builder, c.value(x), dim)


def _cumprod(c: Context, x: Tensor, dim: int, **_: object) -> Value:
    return r.cumulative_product(c.builder, c.value(x), dim)


def _log_cumsum_exp(c: Context, x: Tensor, dim: int) -> Value:
    b, y = c.builder, c.value(x)
    if not y.rank:
        return y
    top = r.largest(b, y, [dim], True)
    sums = r.cumulative_sum(b, e.exp(b, e.sub(b, y, top)), dim)
    return e.add(b, b.node(Log(), sums), top)


def _prod(
    c: Context, x: Tensor, dim: int | None = None, keepdim: bool = False, **_: object
) -> Value:
    return r.product(c.builder, c.value(x), _axes(dim), keepdim)


def _determinant(c: Context, x: Tensor) -> tuple[Value, None, None]:
    return determinant(c.builder, c.value(x)), None, None


def _matmul(c: Context, x: Tensor, y: Tensor) -> Value:
    return p.matmul(c.builder, c.value(x), c.value(y))


def _added_product(
    c: Context, bias: Tensor, x: Tensor, y: Tensor, *, beta: Number = 1, alpha: Number = 1
) -> Value:
    b = c.builder
    product = e.scaled(b, p.matmul(b, c.value(x), c.value(y)), float(alpha))
    if beta == 0:
        return product
    return e.add(b, e.scaled(b, c.value(bias), float(beta)), product)


def _einsum(c: Context, equation: str, operands: Sequence[Tensor], **_: object) -> Value:
    return p.einsum(c.builder, equation, *(c.value(operand) for operand in operands))


def _outer(c: Context, x: Tensor, y: Tensor) -> Value:
    b, left = c.builder, c.value(x)
    return e.mul(b, b.reshape(left, (*left.shape, 1)), c.value(y))


OPS: dict[str, Handler] = {
    "_linalg_det": _determinant,
    "_log_softmax": _log_softmax,
    "addmm": _added_product,
    "addmv": _added_product,
    "amax": _reduction(r.largest),
    "amin": _reduction(r.smallest),
    "argmax": _position(position_of_largest),
    "argmin": _position(position_of_smallest),
    "baddbmm": _added_product,
    "bmm": _matmul,
    "cumprod": _cumprod,
    "cumsum": _cumsum,
    "dot": _matmul,
    "einsum": _einsum,
    "linalg_vector_norm": _norm,
    "log_softmax": _log_softmax,
    "logcumsumexp": _log_cumsum_exp,
    "logsumexp": _reduction(r.log_sum_exp),
    "matmul": _matmul,
    "max": _extreme(r.largest, position_of_largest, e.maximum),
    "mean": _reduction(r.mean),
    "min": _extreme(r.smallest, position_of_smallest, e.minimum),
    "mm": _matmul,
    "mv": _matmul,
    "norm": _norm,
    "outer": _outer,
    "prod": _prod,
    "std": _deviation,
    "sum": _reduction(r.total),
    "topk": _top,
    "var": _variance,
    "var_mean": _var_mean,
}
"""By the name of the ATen op, for all of its overloads."""
