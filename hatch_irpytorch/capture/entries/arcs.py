"""The inverse circular functions, by one polynomial.

asin(x) = x * p(t) with t = sqrt(1 - |x|): as a function of t, asin(x) / x has no root in it and
converges fast. p is in powers of 2 t - 1, by interpolation in the points of Chebyshev; its relative
error is below 2e-13.
"""

from __future__ import annotations

import math

from hatch_irpytorch.capture.builder import Builder, Value
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.ir.ops.elementwise import Abs, Inv, Sqrt

_COEFFICIENTS = (
    1.1307494386419747,
    -0.2540723022650005,
    0.1355417117501051,
    -0.028612118011674615,
    0.01655570248529149,
    -0.002614139467958327,
    0.0021666300326228776,
    -0.00013799728565506072,
    0.0003173579980351881,
    2.1796453859327646e-05,
    5.367231280810326e-05,
    1.2025765600708328e-05,
    1.0763389715784858e-05,
    2.7077011680176983e-06,
    1.8710334226163682e-06,
    2.015838228010777e-06,
    1.0908704517862739e-06,
    -4.7259917653940886e-07,
    -2.4154358160412724e-07,
    3.2047304919938314e-07,
    1.6642654436794807e-07,
)
"""By rising powers of 2 t - 1."""

_VERTICAL = 1e18
"""From here on atan is a right angle, in float64 too; its square is finite in float32."""


def asin(b: Builder, x: Value) -> Value:
    """Beyond 1, where PyTorch has NaN, x times a right angle."""
    rest = b.node(Sqrt(), e.shifted(b, e.neg(b, b.node(Abs(), x)), 1.0))
    return e.mul(b, x, _ratio(b, rest))


def acos(b: Builder, x: Value) -> Value:
    """What asin leaves of a right angle."""
    return e.shifted(b, e.neg(b, asin(b, x)), math.pi / 2.0)


def atan(b: Builder, x: Value) -> Value:
    """The asin of x / r with r = sqrt(1 + x * x), where 1 - |x| / r is 1 / (r * (r + |x|))."""
    x = e.clamp(b, x, -_VERTICAL, _VERTICAL)
    r = b.node(Sqrt(), e.shifted(b, e.square(b, x), 1.0))
    product = e.mul(b, r, e.add(b, r, b.node(Abs(), x)))
    rest = b.node(Inv(), b.node(Sqrt(), product))
    return e.mul(b, e.div(b, x, r), _ratio(b, rest))


def _ratio(b: Builder, rest: Value) -> Value:
    """asin(x) / x, where `rest` is sqrt(1 - |x|)."""
    b.note("approximated", "asin, acos and atan are computed by a polynomial")
    z = e.shifted(b, e.scaled(b, rest, 2.0), -1.0)
    *others, last = _COEFFICIENTS
    result = b.full(rest.shape, last)
    for number in reversed(others):
        result = e.shifted(b, e.mul(b, result, z), number)
    return result
