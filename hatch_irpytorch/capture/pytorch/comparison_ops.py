"""ATen ops that compare, choose by what was compared, and combine flags."""

from __future__ import annotations

from collections.abc import Callable

import torch

from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Value
from hatch_irpytorch.capture.entries import comparisons as compare
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.capture.layers import reductions as r
from hatch_irpytorch.capture.pytorch.arguments import Handler, Number, formula
from hatch_irpytorch.capture.pytorch.tensors import Context, Tensor

Combined = Callable[[Builder, Value, Value], Value]


def _comparison(function: Combined) -> Handler:
    def convert(c: Context, x: Tensor, y: Tensor | Number) -> Value:
        return function(c.builder, c.value(x), c.value(y))

    return convert


def _swapped(function: Combined) -> Combined:
    return lambda b, x, y: function(b, y, x)


def _flag(c: Context, x: Tensor, position: int) -> Value:
    """1 where an argument is true; what holds booleans does so already."""
    value = c.value(x)
    is_bool = c.dtype_of(position) == torch.bool
    return value if is_bool else compare.is_true(c.builder, value)


def _logic(function: Combined) -> Handler:
    def convert(c: Context, x: Tensor, y: Tensor) -> Value:
        return function(c.builder, _flag(c, x, 0), _flag(c, y, 1))

    return convert


def _logical_not(c: Context, x: Tensor) -> Value:
    return compare.negation(c.builder, _flag(c, x, 0))


def _of_bits(logic: Handler) -> Handler:
    """The same for booleans under the name that it has for the bits of integers."""

    def convert(c: Context, *args: Tensor) -> Value:
        if c.made_dtype() != torch.bool:
            raise InexpressibleError("the bits of integers")
        found: Value = logic(c, *args)
        return found

    return convert


def _where(c: Context, condition: Tensor, x: Tensor | Number, y: Tensor | Number) -> Value:
    if isinstance(condition, torch.Tensor):
        return e.chosen(c.builder, condition.bool().numpy(), c.value(x), c.value(y))
    return compare.choice(c.builder, _flag(c, condition, 0), c.value(x), c.value(y))


def _masked_fill(c: Context, x: Tensor, mask: Tensor, value: Tensor | Number) -> Value:
    if isinstance(mask, torch.Tensor):
        return e.chosen(c.builder, mask.bool().numpy(), c.value(value), c.value(x))
    return compare.choice(c.builder, _flag(c, mask, 1), c.value(value), c.value(x))


def _heaviside(c: Context, x: Tensor, at_zero: Tensor) -> Value:
    b, y = c.builder, c.value(x)
    zero = b.const(0.0)
    flags = compare.equal(b, y, zero), compare.greater(b, y, zero)
    return e.add(b, e.mul(b, flags[0], c.value(at_zero)), flags[1])


def _threshold(c: Context, x: Tensor, threshold: Number, value: Number) -> Value:
    b, y = c.builder, c.value(x)
    kept = compare.greater(b, y, b.const(float(threshold)))
    return compare.choice(b, kept, y, b.const(float(value)))


def _hardshrink(c: Context, x: Tensor, lambd: Number = 0.5) -> Value:
    return compare.shrink(c.builder, c.value(x), 0.0, float(lambd))


def _any(c: Context, x: Tensor, dim: int | list[int] | None = None, keepdim: bool = False) -> Value:
    axes = [dim] if isinstance(dim, int) else dim
    return compare.is_true(c.builder, r.largest(c.builder, _flag(c, x, 0), axes, keepdim))


def _all(c: Context, x: Tensor, dim: int | list[int] | None = None, keepdim: bool = False) -> Value:
    axes = [dim] if isinstance(dim, int) else dim
    return compare.is_true(c.builder, r.smallest(c.builder, _flag(c, x, 0), axes, keepdim))


_BOTH, _EITHER = _logic(compare.both), _logic(compare.either)
_NOT, _ONE_OF_TWO = _logical_not, _logic(compare.one_of_two)

OPS: dict[str, Handler] = {
    "all": _all,
    "any": _any,
    "bitwise_and": _of_bits(_BOTH),
    "bitwise_not": _of_bits(_NOT),
    "bitwise_or": _of_bits(_EITHER),
    "bitwise_xor": _of_bits(_ONE_OF_TWO),
    "eq": _comparison(compare.equal),
    "ge": _comparison(compare.at_least),
    "gt": _comparison(compare.greater),
    "hardshrink": _hardshrink,
    "heaviside": _heaviside,
    "le": _comparison(_swapped(compare.at_least)),
    "logical_and": _BOTH,
    "logical_not": _NOT,
    "logical_or": _EITHER,
    "logical_xor": _ONE_OF_TWO,
    "lt": _comparison(_swapped(compare.greater)),
    "masked_fill": _masked_fill,
    "ne": _comparison(compare.unequal),
    "sgn": formula(compare.sign),
    "sign": formula(compare.sign),
    "threshold": _threshold,
    "where": _where,
}
"""By the name of the ATen op, for all of its overloads."""
