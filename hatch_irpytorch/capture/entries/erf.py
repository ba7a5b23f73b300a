"""The error function and what is made of it: exact GELU, erfc, the normal distribution."""

from __future__ import annotations

import math

from hatch_irpytorch.capture.builder import Builder, Value
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.ir.normal_tail import GELU_END, GELU_UNIT, RATE, polynomial
from hatch_irpytorch.ir.ops.elementwise import Abs, Inv

_SATURATED = 28.0
"""erfc is 0 from here on, in float64 too."""


def gelu(b: Builder, x: Value) -> Value:
    """max(x, 0) - |x| / 2 * erfc(|x| / sqrt(2)), whose tail below 0 keeps its digits."""
    _note(b)
    size = e.clamp(b, b.node(Abs(), x), None, GELU_END)
    half = e.scaled(b, size, 0.5)
    tail = e.mul(b, half, e.exp(b, e.mul(b, half, _decline(b, size, GELU_UNIT))))
    return e.sub(b, e.maximum(b, x, b.full(x.shape, 0.0)), tail)


def erf(b: Builder, x: Value) -> Value:
    """By h = tanh(-log(erfc(|x|)) / 2) with the sign of x: 2 h / (1 + |h|)."""
    _note(b)
    y = e.clamp(b, x, -_SATURATED, _SATURATED)
    h = e.tanh(b, e.mul(b, e.scaled(b, y, -0.5), _decline(b, b.node(Abs(), y), 1.0)))
    result = e.div(b, e.scaled(b, h, 2.0), e.shifted(b, b.node(Abs(), h), 1.0))
    b.erf_of[result.id] = x
    return result


def erfc(b: Builder, x: Value) -> Value:
    """By y, log(erfc(x)) above 0 and -log(erfc(-x)) below: e**min(y, 0) + (1 - e**min(-y, 0))."""
    _note(b)
    x = e.clamp(b, x, -_SATURATED, _SATURATED)
    y = e.mul(b, x, _decline(b, b.node(Abs(), x), 1.0))
    right = e.exp(b, e.clamp(b, y, None, 0.0))
    left = e.exp(b, e.clamp(b, e.neg(b, y), None, 0.0))
    return e.add(b, right, e.sub(b, b.full(x.shape, 1.0), left))


def ndtr(b: Builder, x: Value) -> Value:
    """The normal distribution: how much of it lies below x."""
    return e.scaled(b, erfc(b, e.scaled(b, x, -math.sqrt(0.5))), 0.5)


def _decline(b: Builder, size: Value, unit: float) -> Value:
    """log(erfc(z)) / (z * unit) of z = size * unit, where size is at least 0."""
    t = b.node(Inv(), e.shifted(b, e.scaled(b, size, RATE * unit), 1.0))
    first, *others = polynomial(unit)
    s = b.full(size.shape, first)
    for number in others:
        s = e.shifted(b, e.mul(b, s, t), number)
    return e.sub(b, s, size)


def _note(b: Builder) -> None:
    message = "erf, exact GELU and the normal distribution are computed by a polynomial"
    b.note("approximated", message)
