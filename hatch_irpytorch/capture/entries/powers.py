"""Powers: by constants, by a constant for each entry, of constants, and of one value by another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Value
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.ir.ops.elementwise import Inv, Log, Sqrt

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_MAX_WHOLE = 2.0**31
"""The largest exponent that is written as products, which are about twice its logarithm."""

_MAX_KINDS = 64
"""How many different exponents of one tensor are written each for itself."""


def power(b: Builder, x: Value, exponent: float) -> Value:
    """x to a constant power: products for whole ones, square roots for halves.

    Others go through a logarithm, times x: so 0 gives 0, and what is below leaves its domain.
    """
    if exponent == 0.0:
        return b.full(x.shape, 1.0)
    if exponent < 0.0:
        return b.node(Inv(), power(b, x, -exponent))
    if exponent.is_integer() and exponent <= _MAX_WHOLE:
        return _whole_power(b, x, int(exponent))
    if (2.0 * exponent).is_integer() and exponent <= _MAX_WHOLE:
        return _whole_power(b, b.node(Sqrt(), x), int(2.0 * exponent))
    if not math.isfinite(exponent):
        raise InexpressibleError(f"a power of {exponent}")
    least = 2.0**-1022 if b.dtype == "float64" else 2.0**-126
    log = b.node(Log(), e.shifted(b, x, least))
    return e.mul(b, x, e.exp(b, e.scaled(b, log, exponent - 1.0)))


def powers(b: Builder, x: Value, exponents: Array) -> Value:
    """x to powers that differ from entry to entry: the product of one power for each of them.

    What another exponent belongs to is 1 there, which stays 1.
    """
    shape = np.broadcast_shapes(x.shape, exponents.shape)
    kinds = np.unique(exponents)
    if kinds.size > _MAX_KINDS:
        if (kinds == np.floor(kinds)).any():
            raise InexpressibleError(f"{kinds.size} different exponents, some of them whole")
        return _by_logarithm(b, x, b.const(exponents))
    one = b.const(1.0)
    result = one
    for exponent in kinds.tolist():
        base = x if kinds.size == 1 else e.chosen(b, exponents == exponent, x, one)
        part = power(b, base, exponent)
        result = part if result == one else e.mul(b, result, part)
    return b.broadcast(result, shape)


def power_of(b: Builder, base: float, x: Value) -> Value:
    """A positive constant to the power x."""
    if base <= 0.0:
        raise InexpressibleError("a power of a number that is not positive")
    return e.exp(b, e.scaled(b, x, math.log(base)))


def any_power(b: Builder, x: Value, exponent: Value) -> Value:
    """x to a power; to one that is not constant, x has to be positive."""
    shape = np.broadcast_shapes(x.shape, exponent.shape)
    number, base = e.number_of(b, exponent), e.number_of(b, x)
    if number is not None:
        return b.broadcast(power(b, x, number), shape)
    if b.is_constant(exponent) and not b.is_learned(exponent):
        return powers(b, x, b.array(exponent))
    if base is not None:
        return b.broadcast(power_of(b, base, exponent), shape)
    return _by_logarithm(b, x, exponent)


def _by_logarithm(b: Builder, x: Value, exponent: Value) -> Value:
    return e.exp(b, e.mul(b, exponent, b.node(Log(), x)))


def _whole_power(b: Builder, x: Value, exponent: int) -> Value:
    result: Value | None = None
    while exponent:
        if exponent % 2:
            result = x if result is None else e.mul(b, result, x)
        exponent //= 2
        if exponent:
            x = e.square(b, x)
    assert result is not None
    return result
