"""Nodes that are something together: a GELU or softplus written out, a sign times its size."""

from __future__ import annotations

import math

from hatch_irpytorch.capture.builder import Builder, Value
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.capture.entries.erf import gelu
from hatch_irpytorch.ir.ops.elementwise import Abs, Add, Exp, Log, MulElem, Relu, Softplus

_SAME = 1e-6
"""How far a number of a file may be from the one it means: float32 holds it to 1e-7."""


def product(b: Builder, x: Value, y: Value) -> Value:
    """x * y; of v / 2 and 1 + erf(v / sqrt(2)), in any order, the exact GELU of v."""
    for one, other in ((x, y), (y, x)):
        of = _gelu_of(b, one, other)
        if of is not None:
            return gelu(b, of)
        signed = b.sign_of.get(one.id)
        if signed is not None and _is_size_of(b, other, signed):
            return signed
    return e.mul(b, x, y)


def quotient(b: Builder, x: Value, y: Value) -> Value:
    """x / y, with the same look for a GELU that ends in a division by 2."""
    number = e.number_of(b, y)
    if number is not None and _is(number, 2.0):
        return product(b, x, b.full(y.shape, 0.5))
    return e.div(b, x, y)


def logarithm(b: Builder, x: Value) -> Value:
    """log(x); of 1 + e**v the softplus of v, which does not overflow."""
    raised = _with_number(b, x, Add)
    if raised is not None and raised[1] == 1.0 and isinstance(b.op(raised[0]), Exp):
        return b.node(Softplus(), b.parent(raised[0], 0))
    return b.node(Log(), x)


def _is_size_of(b: Builder, x: Value, of: Value) -> bool:
    """Whether x is |of|, or a relu of that."""
    if isinstance(b.op(x), Relu):
        return _is_size_of(b, b.parents(x)[0], of)
    return isinstance(b.op(x), Abs) and b.parents(x) == (of,)


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
    number = e.number_of(b, x)
    return number is not None and _is(number, 0.5)


def _with_number(b: Builder, x: Value, kind: type[Add | MulElem]) -> tuple[Value, float] | None:
    """The parents of a sum or product one of which is a number."""
    if not isinstance(b.op(x), kind):
        return None
    first, second = b.parents(x)
    for value, candidate in ((first, second), (second, first)):
        number = e.number_of(b, candidate)
        if number is not None:
            return value, number
    return None


def _is(number: float, meant: float) -> bool:
    return math.isclose(number, meant, rel_tol=_SAME)
