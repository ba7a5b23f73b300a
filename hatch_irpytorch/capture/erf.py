"""The error function and what is made of it: exact GELU, erfc, the normal distribution."""

from __future__ import annotations

import math

from hatch_irpytorch.capture import elementwise as e
from hatch_irpytorch.capture.builder import Builder, Value
from hatch_irpytorch.ir.normal_tail import GELU_END, GELU_UNIT, RATE, polynomial
from hatch_irpytorch.ir.ops import Const
from hatch_irpytorch.ir.ops.elementwise import Abs, Add, Inv, MulElem
from hatch_irpytorch.ir.ops.movement import BroadcastTo, Reshape
from hatch_irpytorch.ir.shapes import numel

_SATURATED = 28.0
"""erfc is 0 from here on, in float64 too."""

_SAME = 1e-6
"""How far a number of a file may be from the one it means: float32 holds it to 1e-7."""


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


def product(b: Builder, x: Value, y: Value) -> Value:
    """x * y; where that is v / 2 * (1 + erf(v / sqrt(2))), in any order, the exact GELU of v."""
    for one, other in ((x, y), (y, x)):
        of = _gelu_of(b, one, other)
        if of is not None:
            return gelu(b, of)
    return e.mul(b, x, y)


def quotient(b: Builder, x: Value, y: Value) -> Value:
    """x / y, with the same look for a GELU that ends in a division by 2."""
    number = _number(b, y)
    if number is not None and _is(number, 2.0):
        return product(b, x, b.full(y.shape, 0.5))
    return e.div(b, x, y)


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


def _gelu_of(b: Builder, one: Value, other: Value) -> Value | None:
    """v, where one * other is v / 2 * (1 + erf(v / sqrt(2)))."""
    candidates = [(_halved(b, one), other), (one, _halved(b, other))]
    if _is_half(b, one) and isinstance(b.op(other), MulElem):
        first, second = b.parents(other)
        candidates += [(first, second), (second, first)]
    for v, raised in candidates:
        if v is not None and raised is not None and _is_raised_erf(b, raised, v):
            return v
    return None


def _is_raised_erf(b: Builder, x: Value, v: Value) -> bool:
    """Whether x is 1 + erf(v / sqrt(2))."""
    found = _with_number(b, x, Add)
    if found is None or not _is(found[1], 1.0) or found[0].id not in b.erf_of:
        return False
    scaled = _with_number(b, b.erf_of[found[0].id], MulElem)
    return scaled is not None and scaled[0] == v and _is(scaled[1], math.sqrt(0.5))


def _halved(b: Builder, x: Value) -> Value | None:
    found = _with_number(b, x, MulElem)
    return found[0] if found is not None and _is(found[1], 0.5) else None


def _is_half(b: Builder, x: Value) -> bool:
    number = _number(b, x)
    return number is not None and _is(number, 0.5)


def _with_number(b: Builder, x: Value, kind: type[Add | MulElem]) -> tuple[Value, float] | None:
    """The parents of a sum or product one of which is a number."""
    if not isinstance(b.op(x), kind):
        return None
    first, second = b.parents(x)
    for value, candidate in ((first, second), (second, first)):
        number = _number(b, candidate)
        if number is not None:
            return value, number
    return None


def _number(b: Builder, x: Value) -> float | None:
    """The number that a constant of one entry holds, also repeated, or as a divisor."""
    op = b.op(x)
    if isinstance(op, BroadcastTo | Reshape):
        return _number(b, b.parents(x)[0])
    if isinstance(op, Inv):
        number = _number(b, b.parents(x)[0])
        return 1.0 / number if number else None
    if isinstance(op, Const) and numel(x.shape) == 1 and not op.learnable:
        return float(b.payload(x)["values"].reshape(()))
    return None


def _is(number: float, meant: float) -> bool:
    return math.isclose(number, meant, rel_tol=_SAME)
