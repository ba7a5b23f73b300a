"""Rounding to whole numbers, and division that rounds, of values within known bounds.

Of the whole numbers k from the least to the largest that can come out, floor is the largest with
x >= k. It is found digit by digit, in base 16, by comparing x with 15 thresholds at once: exactly,
ties included. As in PyTorch no gradient passes.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from hatch_irpytorch.capture.bounds import interval
from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Value
from hatch_irpytorch.capture.entries import comparisons as compare
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.capture.intervals import Interval
from hatch_irpytorch.ir.ops.elementwise import Abs
from hatch_irpytorch.ir.ops.reduction import ReduceSum
from hatch_irpytorch.ir.ops.sources import Detach

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_BASE = 16
_EXACT = {"bfloat16": 2**8, "float16": 2**11}
_EXACT_IN_FLOAT32 = 2**24
"""Up to here a module has every whole number."""


def floor(b: Builder, x: Value, size: float = 1.0) -> Value:
    """The largest whole number k with k * size <= x, for a positive size."""
    found = interval(b, x)
    if size == 1.0 and found.whole:
        return b.node(Detach(), x)
    low, high = _whole_ends(b, found, size)
    return _highest(b, x, size, (math.floor(low), math.floor(high)), nearest=False)


def ceil(b: Builder, x: Value) -> Value:
    """The smallest whole number that is not below x."""
    _whole_ends(b, interval(b, x), 1.0)
    return e.neg(b, floor(b, e.neg(b, x)))


def trunc(b: Builder, x: Value, size: float = 1.0) -> Value:
    """The whole part of x / size, for a positive size: rounded towards 0."""
    _whole_ends(b, interval(b, x), size)
    return e.mul(b, compare.sign(b, x), floor(b, b.node(Abs(), x), size))


def nearest(b: Builder, x: Value, size: float = 1.0) -> Value:
    """The whole number nearest to x / size, of two the even one."""
    found = interval(b, x)
    if size == 1.0 and found.whole:
        return b.node(Detach(), x)
    low, high = _whole_ends(b, found, size)
    ends = math.floor(low / 2.0) * 2, math.ceil(high)
    return _highest(b, x, size, ends, nearest=True)


def rounded(b: Builder, x: Value, decimals: int = 0) -> Value:
    """x rounded to a power of ten, half to even."""
    if decimals <= 0:
        size = 10.0**-decimals
        return e.scaled(b, nearest(b, x, size), size)
    factor = 10.0**decimals
    return e.scaled(b, nearest(b, e.scaled(b, x, factor)), 1.0 / factor)


def fraction(b: Builder, x: Value) -> Value:
    """What trunc leaves of x."""
    return e.sub(b, x, trunc(b, x))


def floored_quotient(b: Builder, x: Value, divisor: float) -> Value:
    """The largest whole number that is not above x / divisor."""
    size = _size(divisor)
    return floor(b, x if divisor > 0.0 else e.neg(b, x), size)


def cut_quotient(b: Builder, x: Value, divisor: float) -> Value:
    """x / divisor, rounded towards 0."""
    return e.scaled(b, trunc(b, x, _size(divisor)), math.copysign(1.0, divisor))


def remainder(b: Builder, x: Value, divisor: float) -> Value:
    """What the quotient rounded down leaves of x: of the sign of the divisor."""
    return e.sub(b, x, e.scaled(b, floored_quotient(b, x, divisor), divisor))


def fmod(b: Builder, x: Value, divisor: float) -> Value:
    """What the quotient rounded towards 0 leaves of x: of the sign of x."""
    return e.sub(b, x, e.scaled(b, cut_quotient(b, x, divisor), divisor))


def quantized(b: Builder, x: Value, scale: Array, zero: Array, low: int, high: int) -> Value:
    """x / scale, nearest, plus a zero point, within the ends of a type; scale, zero fit x."""
    message = "numbers within rounding of a tie between two steps may be quantized to the other"
    b.note("approximated", message)
    steps = e.mul(b, x, b.const(1.0 / scale))
    least, most = b.const(low - zero), b.const(high - zero)
    cut = e.minimum(b, e.maximum(b, steps, least), most)
    made = e.add(b, nearest(b, cut), b.const(zero))
    b.bounds[made.id] = Interval(float(low), float(high), True)
    return made


def dequantized(b: Builder, x: Value, scale: Array, zero: Array) -> Value:
    """(x - zero point) * scale."""
    return e.mul(b, e.sub(b, x, b.const(zero)), b.const(scale))


def fake_quantized(b: Builder, x: Value, scale: Array, zero: Array, low: int, high: int) -> Value:
    """Quantized and back; the gradient passes as if nothing happened, within the ends."""
    made = dequantized(b, quantized(b, x, scale, zero, low, high), scale, zero)
    ends = (low - zero - 0.5) * scale, (high - zero + 0.5) * scale
    cut = e.minimum(b, e.maximum(b, x, b.const(ends[0])), b.const(ends[1]))
    nothing = e.sub(b, cut, b.node(Detach(), cut))
    return e.add(b, made, nothing)


def _size(divisor: float) -> float:
    if divisor == 0.0 or not math.isfinite(divisor):
        raise InexpressibleError(f"a division by {divisor:g} that rounds")
    return abs(divisor)


def _whole_ends(b: Builder, found: Interval, size: float) -> tuple[float, float]:
    """The ends in steps of a size. Raises where a module does not have every threshold exactly."""
    most = _EXACT.get(b.dtype, _EXACT_IN_FLOAT32)
    low, high = found.low / size, found.high / size
    largest = max(abs(low), abs(high))
    if not largest < most / 4:
        raise InexpressibleError(
            f"rounding of numbers from {found.low:g} to {found.high:g}: clamp them before to at "
            f"most {most // 4:,} steps"
        )
    digits = Fraction(size).numerator
    while digits % 2 == 0:
        digits //= 2
    if digits * (2 * math.ceil(largest) + _BASE) > most:
        raise InexpressibleError(f"rounding to multiples of {size:g}, which are rounded themselves")
    return low, high


def _highest(b: Builder, x: Value, size: float, ends: tuple[int, int], *, nearest: bool) -> Value:
    """The largest whole number within the ends whose threshold x has reached.

    The threshold of k is k * size; for the nearest it is half a step below, and belongs to k where
    k is even. The lower end is even then, and so is the start of every digit.
    """
    low, high = ends
    entries = b.reshape(b.node(Detach(), x), (*x.shape, 1))
    result = b.const(float(low))
    spacing = 1
    while spacing * _BASE <= high - low:
        spacing *= _BASE
    while spacing and high > low:
        offsets = np.arange(1, min(_BASE - 1, (high - low) // spacing) + 1) * float(spacing)
        odd = offsets % 2.0 == 1.0 if nearest else np.zeros(len(offsets), np.bool_)
        start = result
        for reached, steps in ((compare.at_least, offsets[~odd]), (compare.greater, offsets[odd])):
            if len(steps):
                thresholds = _thresholds(b, start, (steps - 0.5 * nearest) * size, size)
                count = b.node(ReduceSum(x.rank), reached(b, entries, thresholds))
                digit = e.scaled(b, b.reshape(count, entries.shape), float(spacing))
                result = e.add(b, result, digit)
        spacing //= _BASE
    result = b.reshape(b.broadcast(result, entries.shape), x.shape)
    b.bounds[result.id] = Interval(float(low), float(high), True)
    return result


def _thresholds(b: Builder, start: Value, above: Array, size: float) -> Value:
    """`above` the start of a digit, for each entry; the first start is a constant."""
    if b.is_constant(start):
        return b.const(b.array(start) * size + above)
    return e.add(b, e.scaled(b, start, size), b.const(above))
