"""The inverse hyperbolic functions: a polynomial near 0, a logarithm beyond.

Each is odd: it is f(x) up to a point c on both sides, and what is beyond adds f(|x|) - f(c), of
the sign of x, which a logarithm gives without losing digits. Up to c, f(x) is atanh(t) twice, of a
t below 0.4143, and atanh(t) / t a polynomial in t * t, whose relative error is below 1e-13.
"""

from __future__ import annotations

import math

from hatch_irpytorch.capture.builder import Builder, Value
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.capture.entries.comparisons import sign
from hatch_irpytorch.ir.ops.elementwise import Abs, Inv, Log, Sqrt

_COEFFICIENTS = (
    1.0,
    0.3333333333339661,
    0.1999999999241235,
    0.14285714626599175,
    0.11111105672723096,
    0.09090856072471741,
    0.07695741699960391,
    0.06608418843081669,
    0.06395869468639091,
    0.027581901254519176,
    0.10874918822892546,
)
"""By rising powers of t * t."""

_FAR = math.sqrt(0.5)
"""Up to here the polynomial gives atanh; asinh up to 1."""


def asinh(b: Builder, x: Value) -> Value:
    """Beyond 1: log(m) + log(1 + sqrt(1 + 1 / m**2)), m the size of x."""
    m = e.clamp(b, b.node(Abs(), x), 1.0, None)
    root = b.node(Sqrt(), e.shifted(b, e.square(b, b.node(Inv(), m)), 1.0))
    ratio = e.scaled(b, e.shifted(b, root, 1.0), 1.0 / (1.0 + math.sqrt(2.0)))
    beyond = e.add(b, b.node(Log(), m), b.node(Log(), ratio))
    near = e.clamp(b, x, -1.0, 1.0)
    return _joined(b, x, near, e.shifted(b, e.square(b, near), 1.0), beyond)


def acosh(b: Builder, x: Value) -> Value:
    """The asinh of sqrt(x - 1) * sqrt(x + 1)."""
    roots = [b.node(Sqrt(), e.shifted(b, x, amount)) for amount in (-1.0, 1.0)]
    return asinh(b, e.mul(b, *roots))


def atanh(b: Builder, x: Value) -> Value:
    """Beyond a point: half of log((1 + m) / (1 - m)), m the size of x."""
    m = e.clamp(b, b.node(Abs(), x), _FAR, None)
    ratio = e.div(b, e.shifted(b, m, 1.0), e.shifted(b, e.neg(b, m), 1.0))
    beyond = e.shifted(b, e.scaled(b, b.node(Log(), ratio), 0.5), -math.atanh(_FAR))
    near = e.clamp(b, x, -_FAR, _FAR)
    return _joined(b, x, near, e.shifted(b, e.neg(b, e.square(b, near)), 1.0), beyond)


def _joined(b: Builder, x: Value, near: Value, square: Value, beyond: Value) -> Value:
    """2 * atanh(near / (1 + sqrt(square))), and what is beyond with the sign of x."""
    b.note("approximated", "asinh, acosh and atanh are computed by a polynomial near 0")
    t = e.div(b, near, e.shifted(b, b.node(Sqrt(), square), 1.0))
    *others, last = _COEFFICIENTS
    u, ratio = e.square(b, t), b.full(t.shape, last)
    for number in reversed(others):
        ratio = e.shifted(b, e.mul(b, ratio, u), number)
    inner = e.scaled(b, e.mul(b, t, ratio), 2.0)
    return e.add(b, inner, e.mul(b, sign(b, x), beyond))
