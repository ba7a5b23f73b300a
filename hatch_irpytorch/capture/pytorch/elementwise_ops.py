"""ATen ops on single entries, and those that only pass a tensor on."""

from __future__ import annotations

import torch

from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Value
from hatch_irpytorch.capture.entries import (
    arcs,
    comparisons,
    erf,
    inverse_hyperbolic,
    patterns,
    powers,
)
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.capture.entries.dtypes import converted
from hatch_irpytorch.capture.pytorch.arguments import Handler, Number, formula
from hatch_irpytorch.capture.pytorch.rounding_ops import CUT, FLOORED
from hatch_irpytorch.capture.pytorch.tensors import Context, Tensor, dtype_name
from hatch_irpytorch.capture.training import DROPOUT, note
from hatch_irpytorch.ir.ops import Op
from hatch_irpytorch.ir.ops.elementwise import Abs, Cos, Exp, Inv, Sin, Sqrt
from hatch_irpytorch.ir.ops.reduction import MseLoss
from hatch_irpytorch.ir.ops.sources import Detach


def _unary(op: Op) -> Handler:
    def convert(c: Context, x: Tensor) -> Value:
        return c.builder.node(op, c.value(x))

    return convert


def _add(c: Context, x: Tensor, y: Tensor | Number, *, alpha: Number = 1) -> Value:
    if c.made_dtype() == torch.bool:
        return comparisons.either(c.builder, c.value(x), c.value(y))
    return e.add(c.builder, c.value(x), e.scaled(c.builder, c.value(y), float(alpha)))


def _sub(c: Context, x: Tensor, y: Tensor | Number, *, alpha: Number = 1) -> Value:
    return e.sub(c.builder, c.value(x), e.scaled(c.builder, c.value(y), float(alpha)))


def _rsub(c: Context, x: Tensor, y: Tensor | Number, alpha: Number = 1) -> Value:
    return e.sub(c.builder, c.value(y), e.scaled(c.builder, c.value(x), float(alpha)))


def _mul(c: Context, x: Tensor, y: Tensor | Number) -> Value:
    return patterns.product(c.builder, c.value(x), c.value(y))


def _div(c: Context, x: Tensor, y: Tensor | Number, *, rounding_mode: str | None = None) -> Value:
    if rounding_mode is not None:
        divided: Value = {"floor": FLOORED, "trunc": CUT}[rounding_mode](c, x, y)
        return divided
    return patterns.quotient(c.builder, c.value(x), c.value(y))


def _pow(c: Context, x: Tensor | Number, exponent: Tensor | Number) -> Value:
    return powers.any_power(c.builder, c.value(x), c.value(exponent))


def _log_base(base: float) -> Handler:
    return formula(lambda b, x: e.log_base(b, x, base))


def _tan(b: Builder, x: Value) -> Value:
    return e.div(b, b.node(Sin(), x), b.node(Cos(), x))


def _log1p(b: Builder, x: Value) -> Value:
    return patterns.logarithm(b, e.shifted(b, x, 1.0))


def _expm1(b: Builder, x: Value) -> Value:
    return e.shifted(b, e.exp(b, x), -1.0)


def _exp2(b: Builder, x: Value) -> Value:
    return powers.power_of(b, 2.0, x)


def _logaddexp(c: Context, x: Tensor, y: Tensor) -> Value:
    """max + softplus(-|x - y|)."""
    b = c.builder
    gap = b.node(Abs(), e.sub(b, c.value(x), c.value(y)))
    return e.add(b, e.maximum(b, c.value(x), c.value(y)), e.softplus(b, e.neg(b, gap)))


def _maximum(c: Context, x: Tensor, y: Tensor) -> Value:
    return e.maximum(c.builder, c.value(x), c.value(y))


def _minimum(c: Context, x: Tensor, y: Tensor) -> Value:
    return e.minimum(c.builder, c.value(x), c.value(y))


def _lerp(c: Context, x: Tensor, y: Tensor, weight: Tensor | Number) -> Value:
    b = c.builder
    step = e.mul(b, e.sub(b, c.value(y), c.value(x)), c.value(weight))
    return e.add(b, c.value(x), step)


def _addcmul(c: Context, x: Tensor, y: Tensor, z: Tensor, *, value: Number = 1) -> Value:
    b = c.builder
    return e.add(b, c.value(x), e.scaled(b, e.mul(b, c.value(y), c.value(z)), float(value)))


def _addcdiv(c: Context, x: Tensor, y: Tensor, z: Tensor, *, value: Number = 1) -> Value:
    b = c.builder
    return e.add(b, c.value(x), e.scaled(b, e.div(b, c.value(y), c.value(z)), float(value)))


def _mse_loss(c: Context, x: Tensor, y: Tensor, reduction: int = 1) -> Value:
    b = c.builder
    if reduction == 1:
        return e.binary(b, MseLoss(), c.value(x), c.value(y))
    from hatch_irpytorch.capture.layers.reductions import total

    squares = e.square(b, e.sub(b, c.value(x), c.value(y)))
    return squares if reduction == 0 else total(b, squares, None, False)


def passed_on(c: Context, x: Tensor, *_: object, **__: object) -> Tensor:
    """A copy or a change of strides."""
    return x


def _dropout(c: Context, x: Tensor, p: float, train: bool = False) -> Tensor:
    if train and p:
        raise InexpressibleError("dropout outside of eval mode")
    if p:
        note(c.builder, DROPOUT)
    return x


def _native_dropout(c: Context, x: Tensor, p: float, train: bool | None) -> tuple[Tensor, None]:
    return _dropout(c, x, p, train is not False), None


def _copy(c: Context, x: Tensor, source: Tensor, *_: object) -> Value:
    return c.builder.broadcast(c.value(source), c.value(x).shape)


def _alias(c: Context, x: Tensor) -> Tensor:
    """What torch.export makes of `detach` too."""
    made_of = None if c.node is None else c.node.meta.get("original_aten")
    return _detach(c, x) if made_of is torch.ops.aten.detach.default else x


def _detach(c: Context, x: Tensor) -> Tensor:
    return x if not isinstance(x, Value) else c.builder.node(Detach(), x)


def _checked(c: Context, x: Tensor, *_: object, **__: object) -> None:
    """A check that torch.export made when it ran the module."""


def _to_copy(
    c: Context, x: Tensor, *_: object, dtype: torch.dtype | None = None, **__: object
) -> Tensor:
    if dtype is None or c.dtype_of(0) == dtype:
        return x
    return converted(c.builder, c.value(x), dtype_name(c.dtype_of(0)), dtype_name(dtype))


OPS: dict[str, Handler] = {
    "_assert_async": _checked,
    "_assert_tensor_metadata": _checked,
    "abs": _unary(Abs()),
    "acos": formula(arcs.acos),
    "acosh": formula(inverse_hyperbolic.acosh),
    "add": _add,
    "addcdiv": _addcdiv,
    "addcmul": _addcmul,
    "alias": _alias,
    "asin": formula(arcs.asin),
    "asinh": formula(inverse_hyperbolic.asinh),
    "atan": formula(arcs.atan),
    "atanh": formula(inverse_hyperbolic.atanh),
    "clone": passed_on,
    "contiguous": passed_on,
    "cos": _unary(Cos()),
    "cosh": formula(e.cosh),
    "detach": _detach,
    "div": _div,
    "copy": _copy,
    "dropout": _dropout,
    "erf": formula(erf.erf),
    "erfc": formula(erf.erfc),
    "exp": _unary(Exp()),
    "exp2": formula(_exp2),
    "expm1": formula(_expm1),
    "alpha_dropout": _dropout,
    "feature_alpha_dropout": _dropout,
    "feature_dropout": _dropout,
    "lerp": _lerp,
    "lift_fresh_copy": passed_on,
    "log": formula(patterns.logarithm),
    "log10": _log_base(10.0),
    "log1p": formula(_log1p),
    "log2": _log_base(2.0),
    "logaddexp": _logaddexp,
    "maximum": _maximum,
    "minimum": _minimum,
    "mse_loss": _mse_loss,
    "mul": _mul,
    "native_dropout": _native_dropout,
    "neg": formula(e.neg),
    "pow": _pow,
    "reciprocal": _unary(Inv()),
    "rsqrt": formula(e.rsqrt),
    "rsub": _rsub,
    "sin": _unary(Sin()),
    "sinh": formula(e.sinh),
    "special_ndtr": formula(erf.ndtr),
    "sqrt": _unary(Sqrt()),
    "square": formula(e.square),
    "sub": _sub,
    "tan": formula(_tan),
    "_to_copy": _to_copy,
}
"""By the name of the ATen op, for all of its overloads."""
