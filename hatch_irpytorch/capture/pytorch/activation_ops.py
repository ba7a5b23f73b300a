"""ATen ops that bend single entries: the activations."""

from __future__ import annotations

from hatch_irpytorch.capture.builder import Value
from hatch_irpytorch.capture.entries import comparisons, erf
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.capture.pytorch.arguments import Handler, Number, as_number, formula
from hatch_irpytorch.capture.pytorch.tensors import Context, Tensor
from hatch_irpytorch.ir.ops.elementwise import Log


def _clamp(
    c: Context,
    x: Tensor,
    low: Tensor | Number | None = None,
    high: Tensor | Number | None = None,
    *,
    min: Tensor | Number | None = None,
    max: Tensor | Number | None = None,
) -> Value:
    y, b = c.value(x), c.builder
    low, high = low if min is None else min, high if max is None else max
    if low is not None:
        floor = as_number(low)
        y = e.clamp(b, y, floor, None) if floor is not None else e.maximum(b, y, c.value(low))
    if high is not None:
        top = as_number(high)
        y = e.clamp(b, y, None, top) if top is not None else e.minimum(b, y, c.value(high))
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
    function = e.gelu_tanh if approximate == "tanh" else erf.gelu
    return function(c.builder, c.value(x))


def _leaky_relu(c: Context, x: Tensor, negative_slope: float = 0.01) -> Value:
    return e.leaky_relu(c.builder, c.value(x), float(negative_slope))


def _prelu(c: Context, x: Tensor, weight: Tensor) -> Value:
    b, y, slope = c.builder, c.value(x), c.value(weight)
    if not y.rank:
        slope = b.reshape(slope, ())
    if slope.rank == 1 and y.rank > 1 and slope.shape[0] > 1:
        slope = b.reshape(slope, (slope.shape[0], *[1] * (y.rank - 2)))
    return e.prelu(b, y, slope)


def _elu(
    c: Context, x: Tensor, alpha: Number = 1, scale: Number = 1, input_scale: Number = 1
) -> Value:
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
    b, y = c.builder, c.value(x)
    smooth = e.softplus(b, y, float(beta))
    if float(threshold) >= 15.0:
        return smooth
    above = comparisons.greater(b, e.scaled(b, y, float(beta)), b.const(float(threshold)))
    return comparisons.choice(b, above, y, smooth)


def _softshrink(c: Context, x: Tensor, lambd: Number = 0.5) -> Value:
    return e.softshrink(c.builder, c.value(x), float(lambd))


def _logit(c: Context, x: Tensor, eps: float | None = None) -> Value:
    b = c.builder
    y = c.value(x) if eps is None else e.clamp(b, c.value(x), eps, 1.0 - eps)
    return b.node(Log(), e.div(b, y, e.shifted(b, e.neg(b, y), 1.0)))


def _glu(c: Context, x: Tensor, dim: int = -1) -> Value:
    from hatch_irpytorch.capture.selections.selection import slice_axis

    b, y = c.builder, c.value(x)
    half = y.shape[dim] // 2
    gate = slice_axis(b, y, dim, half, 2 * half)
    return e.mul(b, slice_axis(b, y, dim, 0, half), e.sigmoid(b, gate))


OPS: dict[str, Handler] = {
    "celu": _celu,
    "clamp": _clamp,
    "clamp_max": _clamp_max,
    "clamp_min": _clamp_min,
    "elu": _elu,
    "gelu": _gelu,
    "glu": _glu,
    "hardsigmoid": _hardsigmoid,
    "hardswish": formula(e.hard_swish),
    "hardtanh": _hardtanh,
    "leaky_relu": _leaky_relu,
    "log_sigmoid": formula(e.log_sigmoid),
    "logit": _logit,
    "mish": formula(e.mish),
    "prelu": _prelu,
    "relu": formula(e.relu),
    "relu6": _relu6,
    "selu": _selu,
    "sigmoid": formula(e.sigmoid),
    "silu": formula(e.silu),
    "softplus": _softplus,
    "softshrink": _softshrink,
    "tanh": formula(e.tanh),
}
"""By the name of the ATen op, for all of its overloads."""
