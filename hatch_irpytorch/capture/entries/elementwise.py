"""Functions of single entries, written with the ops that the format has."""

from __future__ import annotations

import math

import numpy as np

from hatch_irpytorch.capture.builder import Builder, Value
from hatch_irpytorch.ir.ops import Const, Op
from hatch_irpytorch.ir.ops.elementwise import (
    Abs,
    Add,
    Exp,
    Inv,
    Log,
    MaxElem,
    MinElem,
    MulElem,
    Relu,
    Sigmoid,
    Softplus,
    Sqrt,
    Sub,
    Tanh,
)
from hatch_irpytorch.ir.ops.movement import BroadcastTo, Reshape
from hatch_irpytorch.ir.shapes import numel

Flags = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


def binary(b: Builder, op: Op, x: Value, y: Value) -> Value:
    """An op of two tensors, each repeated to the shape they have in common."""
    shape = np.broadcast_shapes(x.shape, y.shape)
    return b.node(op, b.broadcast(x, shape), b.broadcast(y, shape))


def add(b: Builder, x: Value, y: Value) -> Value:
    return binary(b, Add(), x, y)


def sub(b: Builder, x: Value, y: Value) -> Value:
    return binary(b, Sub(), x, y)


def mul(b: Builder, x: Value, y: Value) -> Value:
    return binary(b, MulElem(), x, y)


def div(b: Builder, x: Value, y: Value) -> Value:
    """x / y as x times 1 / y."""
    if b.is_constant(y) and not b.is_learned(y):
        with np.errstate(divide="ignore"):
            return mul(b, x, b.const(1.0 / b.array(y)))
    return mul(b, x, b.node(Inv(), y))


def number_of(b: Builder, x: Value) -> float | None:
    """The one number that a constant holds, also repeated or inverted; None for other values."""
    op = b.op(x)
    if isinstance(op, BroadcastTo | Reshape):
        return number_of(b, b.parents(x)[0])
    if isinstance(op, Inv):
        number = number_of(b, b.parents(x)[0])
        return 1.0 / number if number else None
    if isinstance(op, Const) and numel(x.shape) == 1 and not op.learnable:
        return float(b.payload(x)["values"].reshape(()))
    return None


def maximum(b: Builder, x: Value, y: Value) -> Value:
    return binary(b, MaxElem(), x, y)


def minimum(b: Builder, x: Value, y: Value) -> Value:
    return binary(b, MinElem(), x, y)


def scaled(b: Builder, x: Value, factor: float) -> Value:
    return x if factor == 1.0 else mul(b, x, b.full(x.shape, factor))


def shifted(b: Builder, x: Value, amount: float) -> Value:
    return x if amount == 0.0 else add(b, x, b.full(x.shape, amount))


def neg(b: Builder, x: Value) -> Value:
    return scaled(b, x, -1.0)


def clamp(b: Builder, x: Value, low: float | None, high: float | None) -> Value:
    """max(x, low), then min with high; None leaves a side open."""
    if low is not None and low > -math.inf:
        x = b.node(Relu(), x) if low == 0.0 else maximum(b, x, b.full(x.shape, low))
    if high is not None and high < math.inf:
        x = minimum(b, x, b.full(x.shape, high))
    return x


def square(b: Builder, x: Value) -> Value:
    return mul(b, x, x)


def rsqrt(b: Builder, x: Value) -> Value:
    return b.node(Inv(), b.node(Sqrt(), x))


def log_base(b: Builder, x: Value, base: float) -> Value:
    return scaled(b, b.node(Log(), x), 1.0 / math.log(base))


def relu(b: Builder, x: Value) -> Value:
    return b.node(Relu(), x)


def sigmoid(b: Builder, x: Value) -> Value:
    return b.node(Sigmoid(), x)


def tanh(b: Builder, x: Value) -> Value:
    return b.node(Tanh(), x)


def exp(b: Builder, x: Value) -> Value:
    return b.node(Exp(), x)


def leaky_relu(b: Builder, x: Value, slope: float) -> Value:
    if 0.0 <= slope <= 1.0:
        return maximum(b, x, scaled(b, x, slope))
    return add(b, relu(b, x), scaled(b, clamp(b, x, None, 0.0), slope))


def prelu(b: Builder, x: Value, slope: Value) -> Value:
    """x where it is positive, else x times `slope`, which broadcasts to x."""
    below = clamp(b, x, None, 0.0)
    return add(b, relu(b, x), mul(b, below, slope))


def elu(b: Builder, x: Value, alpha: float = 1.0, scale: float = 1.0, slope: float = 1.0) -> Value:
    """scale * x above 0, else alpha * scale * (e**(slope * x) - 1)."""
    below = scaled(b, clamp(b, x, None, 0.0), slope)
    tail = scaled(b, shifted(b, exp(b, below), -1.0), alpha)
    return scaled(b, add(b, relu(b, x), tail), scale)


def silu(b: Builder, x: Value, beta: float = 1.0) -> Value:
    return mul(b, x, sigmoid(b, scaled(b, x, beta)))


def hard_sigmoid(b: Builder, x: Value, alpha: float, beta: float) -> Value:
    return clamp(b, shifted(b, scaled(b, x, alpha), beta), 0.0, 1.0)


def hard_swish(b: Builder, x: Value) -> Value:
    return mul(b, x, hard_sigmoid(b, x, 1.0 / 6.0, 0.5))


def gelu_tanh(b: Builder, x: Value) -> Value:
    cube = mul(b, square(b, x), x)
    inner = scaled(b, add(b, x, scaled(b, cube, 0.044715)), math.sqrt(2.0 / math.pi))
    return mul(b, scaled(b, x, 0.5), shifted(b, tanh(b, inner), 1.0))


def softplus(b: Builder, x: Value, beta: float = 1.0) -> Value:
    return scaled(b, b.node(Softplus(), scaled(b, x, beta)), 1.0 / beta)


def mish(b: Builder, x: Value) -> Value:
    return mul(b, x, tanh(b, softplus(b, x)))


def log_sigmoid(b: Builder, x: Value) -> Value:
    return neg(b, softplus(b, neg(b, x)))


def softsign(b: Builder, x: Value) -> Value:
    return div(b, x, shifted(b, b.node(Abs(), x), 1.0))


def softshrink(b: Builder, x: Value, threshold: float) -> Value:
    return sub(b, x, clamp(b, x, -threshold, threshold))


def sinh(b: Builder, x: Value) -> Value:
    return scaled(b, sub(b, exp(b, x), exp(b, neg(b, x))), 0.5)


def cosh(b: Builder, x: Value) -> Value:
    return scaled(b, add(b, exp(b, x), exp(b, neg(b, x))), 0.5)


def chosen(b: Builder, condition: Flags, x: Value, y: Value) -> Value:
    """x where a constant condition holds, else y; the condition is stored as narrow as it is."""
    shape = np.broadcast_shapes(condition.shape, x.shape, y.shape)
    keep = narrowed(condition)
    if keep.all():
        return b.broadcast(x, shape)
    if not keep.any():
        return b.broadcast(y, shape)
    parts = [_kept(b, part, flags) for part, flags in ((x, keep), (y, ~keep))]
    found = [part for part in parts if part is not None]
    whole = add(b, *found) if len(found) == 2 else found[0] if found else b.const(0.0)
    return b.broadcast(whole, shape)


def _kept(b: Builder, x: Value, flags: Flags) -> Value | None:
    """x where the flags hold, else 0; None for a constant of which only zeros are left."""
    if b.is_constant(x) and not b.is_learned(x):
        numbers = np.where(flags, b.array(x), 0.0)
        return b.const(numbers) if numbers.any() else None
    return mul(b, x, b.const(flags.astype(np.float64)))


def narrowed(flags: Flags) -> Flags:
    """The same with one entry along every axis whose entries are alike."""
    for axis in range(flags.ndim):
        first = flags.take([0], axis=axis) if flags.shape[axis] else flags
        if (flags == first).all():
            flags = first
    return flags
