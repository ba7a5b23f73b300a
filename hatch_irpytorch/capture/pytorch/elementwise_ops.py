"""ATen ops on single entries, and those that only pass a tensor on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from hatch_irpytorch.capture import elementwise as e
from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Value
from hatch_irpytorch.capture.pytorch.tensors import Context, Tensor
from hatch_irpytorch.ir.ops import Op
from hatch_irpytorch.ir.ops.elementwise import Abs, Cos, Exp, Inv, Log, Sin, Sqrt
from hatch_irpytorch.ir.ops.reduction import MseLoss
from hatch_irpytorch.ir.ops.sources import Detach

Number = int | float
Handler = Callable[..., Any]


def _unary(op: Op) -> Handler:
    def convert(c: Context, x: Tensor) -> Value:
        return c.builder.node(op, c.value(x))

    return convert


def _formula(function: Callable[..., Value]) -> Handler:
    """A formula whose further arguments are numbers, in the order torch has them."""

    def convert(c: Context, x: Tensor, *numbers: Number, **named: Number) -> Value:
        return function(c.builder, c.value(x), *numbers, **named)

    return convert


def _is_number(x: object) -> bool:
    plain = isinstance(x, int | float)
    return plain or (isinstance(x, torch.Tensor) and x.dim() == 0)


def _add(c: Context, x: Tensor, y: Tensor | Number, *, alpha: Number = 1) -> Value:
    return e.add(c.builder, c.value(x), e.scaled(c.builder, c.value(y), float(alpha)))


def _sub(c: Context, x: Tensor, y: Tensor | Number, *, alpha: Number = 1) -> Value:
    return e.sub(c.builder, c.value(x), e.scaled(c.builder, c.value(y), float(alpha)))


def _rsub(c: Context, x: Tensor, y: Tensor | Number, alpha: Number = 1) -> Value:
    return e.sub(c.builder, c.value(y), e.scaled(c.builder, c.value(x), float(alpha)))


def _mul(c: Context, x: Tensor, y: Tensor | Number) -> Value:
    return e.mul(c.builder, c.value(x), c.value(y))


def _div(c: Context, x: Tensor, y: Tensor | Number, *, rounding_mode: str | None = None) -> Value:
    if rounding_mode is not None:
        raise InexpressibleError(f"division that rounds by `{rounding_mode}`")
    return e.div(c.builder, c.value(x), c.value(y))


def _pow(c: Context, x: Tensor | Number, exponent: Tensor | Number) -> Value:
    if _is_number(exponent):
        return e.power(c.builder, c.value(x), float(exponent))  # type: ignore[arg-type]
    if _is_number(x):
        return e.power_of(c.builder, float(x), c.value(exponent))  # type: ignore[arg-type]
    b = c.builder
    return e.exp(b, e.mul(b, c.value(exponent), b.node(Log(), c.value(x))))


def _clamp(
    c: Context, x: Tensor, low: Tensor | Number | None = None, high: Tensor | Number | None = None,
    *, min: Tensor | Number | None = None, max: Tensor | Number | None = None,  # noqa: A002
) -> Value:
    y, b = c.value(x), c.builder
    low, high = low if min is None else min, high if max is None else max
    if low is not None:
        y = e.clamp(b, y, float(low), None) if _is_number(low) else e.maximum(b, y, c.value(low))  # type: ignore[arg-type]
    if high is not None:
        y = e.clamp(b, y, None, float(high)) if _is_number(high) else e.minimum(b, y, c.value(high))  # type: ignore[arg-type]
    return y


def _clamp_min(c: Context, x: Tensor, low: Tensor | Number) -> Value:
    return _clamp(c, x, low)


def _clamp_max(c: Context, x: Tensor, high: Tensor | Number) -> Value:
    return _clamp(c, x, None, high)


def _hardtanh(c: Context, x: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Value:
    return e.clamp(c.builder, c.value(x), float(min_val), float(max_val))


def _relu6(c: Context, x: Tensor) -> Value:
    return e.clamp(c.builder, c.value(x), 0.0, 6.0)


def _gelu(c: Context, x: Tensor, *, approximate: str = "none") -> Value:
    if approximate != "tanh":
        raise InexpressibleError("gelu by the error function; `approximate='tanh'` has a form")
    return e.gelu_tanh(c.builder, c.value(x))


def _leaky_relu(c: Context, x: Tensor, negative_slope: float = 0.01) -> Value:
    return e.leaky_relu(c.builder, c.value(x), float(negative_slope))


def _prelu(c: Context, x: Tensor, weight: Tensor) -> Value:
    b, y, slope = c.builder, c.value(x), c.value(weight)
    if slope.rank == 1 and y.rank > 1 and slope.shape[0] > 1:
        slope = b.reshape(slope, (slope.shape[0], *[1] * (y.rank - 2)))
    return e.prelu(b, y, slope)


def _elu(c: Context, x: Tensor, alpha: Number = 1, scale: Number = 1, input_scale: Number = 1) -> Value:
    return e.elu(c.builder, c.value(x), float(alpha), float(scale), float(input_scale))


def _celu(c: Context, x: Tensor, alpha: float = 1.0) -> Value:
    return e.elu(c.builder, c.value(x), alpha, 1.0, 1.0 / alpha)


_SELU = (1.6732632423543772848170429916717, 1.0507009873554804934193349852946)


def _selu(c: Context, x: Tensor) -> Value:
    return e.elu(c.builder, c.value(x), *_SELU)


def _hardsigmoid(c: Context, x: Tensor) -> Value:
    return e.hard_sigmoid(c.builder, c.value(x), 1.0 / 6.0, 0.5)


def _softplus(c: Context, x: Tensor, beta: Number = 1, threshold: Number = 20) -> Value:
    """Above the threshold torch gives x itself, which from 20 on differs by less than 3e-9."""
    if float(threshold) < 15.0:
        raise InexpressibleError(f"softplus with a threshold of {threshold}, which bends it")
    return e.softplus(c.builder, c.value(x), float(beta))


def _softshrink(c: Context, x: Tensor, lambd: Number = 0.5) -> Value:
    return e.softshrink(c.builder, c.value(x), float(lambd))


def _log_base(base: float) -> Handler:
    return _formula(lambda b, x: e.log_base(b, x, base))


def _tan(b: Builder, x: Value) -> Value:
    return e.div(b, b.node(Sin(), x), b.node(Cos(), x))


def _log1p(b: Builder, x: Value) -> Value:
    return b.node(Log(), e.shifted(b, x, 1.0))


def _expm1(b: Builder, x: Value) -> Value:
    return e.shifted(b, e.exp(b, x), -1.0)


def _exp2(b: Builder, x: Value) -> Value:
    return e.power_of(b, 2.0, x)


def _logit(c: Context, x: Tensor, eps: float | None = None) -> Value:
    b = c.builder
    y = c.value(x) if eps is None else e.clamp(b, c.value(x), eps, 1.0 - eps)
    return b.node(Log(), e.div(b, y, e.shifted(b, e.neg(b, y), 1.0)))


def _logaddexp(c: Context, x: Tensor, y: Tensor) -> Value:
    """max + softplus(−|x − y|)."""
    b = c.builder
    gap = b.node(Abs(), e.sub(b, c.value(x), c.value(y)))
    return e.add(b, e.maximum(b, c.value(x), c.value(y)), e.softplus(b, e.neg(b, gap)))


def _maximum(c: Context, x: Tensor, y: Tensor) -> Value:
    return e.maximum(c.builder, c.value(x), c.value(y))


def _minimum(c: Context, x: Tensor, y: Tensor) -> Value:
    return e.minimum(c.builder, c.value(x), c.value(y))


def _where(c: Context, condition: Tensor, x: Tensor | Number, y: Tensor | Number) -> Value:
    fixed = c.constant(condition, "a condition").bool().numpy()
    return e.chosen(c.builder, fixed, c.value(x), c.value(y))


def _masked_fill(c: Context, x: Tensor, mask: Tensor, value: Tensor | Number) -> Value:
    fixed = c.constant(mask, "a mask").bool().numpy()
    return e.chosen(c.builder, fixed, c.value(value), c.value(x))


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


def _glu(c: Context, x: Tensor, dim: int = -1) -> Value:
    from hatch_irpytorch.capture.movement import slice_axis

    b, y = c.builder, c.value(x)
    half = y.shape[dim] // 2
    gate = slice_axis(b, y, dim, half, 2 * half)
    return e.mul(b, slice_axis(b, y, dim, 0, half), e.sigmoid(b, gate))


def _mse_loss(c: Context, x: Tensor, y: Tensor, reduction: int = 1) -> Value:
    b = c.builder
    if reduction == 1:
        return e.binary(b, MseLoss(), c.value(x), c.value(y))
    from hatch_irpytorch.capture.reductions import total

    squares = e.square(b, e.sub(b, c.value(x), c.value(y)))
    return squares if reduction == 0 else total(b, squares, None, False)


def passed_on(c: Context, x: Tensor, *_: object, **__: object) -> Tensor:
    """A copy, a change of strides, or dropout in eval mode."""
    return x


def _detach(c: Context, x: Tensor) -> Tensor:
    return x if not isinstance(x, Value) else c.builder.node(Detach(), x)


def _to_copy(c: Context, x: Tensor, *_: object, dtype: torch.dtype | None = None, **__: object) -> Tensor:
    if dtype is not None and not dtype.is_floating_point:
        raise InexpressibleError(f"a conversion to {str(dtype).removeprefix('torch.')}")
    return x


OPS: dict[str, Handler] = {
    "abs": _unary(Abs()),
    "add": _add,
    "addcdiv": _addcdiv,
    "addcmul": _addcmul,
    "alias": passed_on,
    "celu": _celu,
    "clamp": _clamp,
    "clamp_max": _clamp_max,
    "clamp_min": _clamp_min,
    "clone": passed_on,
    "contiguous": passed_on,
    "cos": _unary(Cos()),
    "cosh": _formula(e.cosh),
    "detach": _detach,
    "div": _div,
    "dropout": passed_on,
    "elu": _elu,
    "exp": _unary(Exp()),
    "exp2": _formula(_exp2),
    "expm1": _formula(_expm1),
    "feature_dropout": passed_on,
    "gelu": _gelu,
    "glu": _glu,
    "hardsigmoid": _hardsigmoid,
    "hardswish": _formula(e.hard_swish),
    "hardtanh": _hardtanh,
    "leaky_relu": _leaky_relu,
    "lerp": _lerp,
    "lift_fresh_copy": passed_on,
    "log": _unary(Log()),
    "log10": _log_base(10.0),
    "log1p": _formula(_log1p),
    "log2": _log_base(2.0),
    "log_sigmoid": _formula(e.log_sigmoid),
    "logaddexp": _logaddexp,
    "logit": _logit,
    "masked_fill": _masked_fill,
    "maximum": _maximum,
    "minimum": _minimum,
    "mish": _formula(e.mish),
    "mse_loss": _mse_loss,
    "mul": _mul,
    "neg": _formula(e.neg),
    "pow": _pow,
    "prelu": _prelu,
    "reciprocal": _unary(Inv()),
    "relu": _formula(e.relu),
    "relu6": _relu6,
    "rsqrt": _formula(e.rsqrt),
    "rsub": _rsub,
    "selu": _selu,
    "sigmoid": _formula(e.sigmoid),
    "silu": _formula(e.silu),
    "sin": _unary(Sin()),
    "sinh": _formula(e.sinh),
    "softplus": _softplus,
    "softshrink": _softshrink,
    "sqrt": _unary(Sqrt()),
    "square": _formula(e.square),
    "sub": _sub,
    "tan": _formula(_tan),
    "tanh": _formula(e.tanh),
    "_to_copy": _to_copy,
    "where": _where,
}
"""By the name of the ATen op, for all of its overloads."""

