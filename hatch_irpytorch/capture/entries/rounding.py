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
    Sizes = float | Array

_BASE = 16
_EXACT = {"bfloat16": 2**8, "float16": 2**11}
_EXACT_IN_FLOAT32 = 2**24
"""Up to here a module has every whole number."""


def floor(b: Builder, x: Value, size: Sizes = 1.0) -> Value:
    """The largest whole number k with k * size <= x, for a positive size or for some that fit x."""
    found = interval(b, x)
    x = b.broadcast(x, np.broadcast_shapes(x.shape, np.shape(size)))
    if np.all(size == 1.0) and found.whole:
        return b.node(Detach(), x)
    low, high = _whole_ends(b, found, size)
    return _highest(b, x, size, (math.floor(low), math.floor(high)), nearest=False)


def ceil(b: Builder, x: Value) -> Value:
    """The smallest whole number that is not below x."""
    _whole_ends(b, interval(b, x), 1.0)
    return e.neg(b, floor(b, e.neg(b, x)))


def trunc(b: Builder, x: Value, size: Sizes = 1.0) -> Value:
    """The whole part of x / size, for positive sizes: rounded towards 0."""
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


def floored_quotient(b: Builder, x: Value, divisor: Sizes) -> Value:
    """The largest whole number that is not above x / divisor."""
    size, sign = _size_and_sign(divisor)
    return floor(b, _times(b, x, sign), size)


def cut_quotient(b: Builder, x: Value, divisor: Sizes) -> Value:
    """x / divisor, rounded towards 0."""
    size, sign = _size_and_sign(divisor)
    return _times(b, trunc(b, x, size), sign)


def remainder(b: Builder, x: Value, divisor: Sizes) -> Value:
    """What the quotient rounded down leaves of x: of the sign of the divisor."""
    return e.sub(b, x, _times(b, floored_quotient(b, x, divisor), divisor))


def fmod(b: Builder, x: Value, divisor: Sizes) -> Value:
    """What the quotient rounded towards 0 leaves of x: of the sign of x."""
    return e.sub(b, x, _times(b, cut_quotient(b, x, divisor), divisor))


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


def _size_and_sign(divisor: Sizes) -> tuple[Sizes, Sizes]:
    unfit = np.extract((np.equal(divisor, 0.0)) | ~np.isfinite(divisor), divisor)
    if unfit.size:
        raise InexpressibleError(f"a division by {unfit[0]:g} that rounds")
    if isinstance(divisor, float):
        return abs(divisor), math.copysign(1.0, divisor)
    return np.abs(divisor), np.sign(divisor)


def _times(b: Builder, x: Value, factor: Sizes) -> Value:
    """x times one number, or times some that fit it."""
    return e.scaled(b, x, factor) if isinstance(factor, float) else e.mul(b, x, b.const(factor))


def _whole_ends(b: Builder, found: Interval, size: Sizes) -> tuple[float, float]:
    """The ends in steps of the sizes. Raises where a module has not every threshold exactly."""
    most = _EXACT.get(b.dtype, _EXACT_IN_FLOAT32)
    sizes = np.unique(size)
    low, high = float(np.min(found.low / sizes)), float(np.max(found.high / sizes))
    largest = max(abs(low), abs(high))
    if not largest < most / 4:
        raise InexpressibleError(
            f"rounding of numbers from {found.low:g} to {found.high:g}: clamp them before to at "
            f"most {most // 4:,} steps"
        )
    for step in sizes.tolist():
        digits = Fraction(step).numerator
        while digits % 2 == 0:
            digits //= 2
        if digits * (2 * math.ceil(largest) + _BASE) > most:
            message = f"rounding to multiples of {step:g}, which are rounded themselves"
            raise InexpressibleError(message)
    return low, high


def _highest(b: Builder, x: Value, size: Sizes, ends: tuple[int, int], *, nearest: bool) -> Value:
    """The largest whole number within the ends whose threshold x has reached.

    The threshold of k is k * size; for the nearest it is half a step below, and belongs to k where
    k is even. The lower end is even then, and so is the start of every digit.
    """
    low, high = ends
    size = size if isinstance(size, float) else np.expand_dims(size, -1)
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


def _thresholds(b: Builder, start: Value, above: Array, size: Sizes) -> Value:
    """`above` the start of a digit, for each entry; the first start is a constant."""
    if b.is_constant(start):
        return b.const(b.array(start) * size + above)
    return e.add(b, _times(b, start, size), b.const(above))
