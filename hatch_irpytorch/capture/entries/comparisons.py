"""Signs and comparisons as 1 and 0, logic of such flags, and choices by them.

No op compares. For x >= 0, min(x * 2**75, 1) is 1 from 2**-75 on, and a second such step leaves 1
for every float32 above 0: its smallest is 2**-149. Float64 takes fifteen. Whole numbers take none.

What is compared is detached: as in PyTorch, no gradient passes. NaN, and infinities that are
equal, give NaN, where PyTorch and ONNX have false or 0; a choice takes both sides for finite.
"""

from __future__ import annotations

import numpy as np

from hatch_irpytorch.capture.builder import Builder, Value
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.capture.entries.integers import equal as equal_whole
from hatch_irpytorch.capture.entries.integers import is_whole
from hatch_irpytorch.capture.intervals import Interval
from hatch_irpytorch.ir.ops.elementwise import Abs
from hatch_irpytorch.ir.ops.sources import Detach

_STEP = 2.0**75
_FLAGS = Interval(0.0, 1.0, True)


def _steps(b: Builder) -> range:
    """As many steps as reach from the smallest number above 0 to 1."""
    return range(15 if b.dtype == "float64" else 2)


def sign(b: Builder, x: Value) -> Value:
    """-1, 0 or 1."""
    result = b.node(Detach(), x)
    if is_whole(b, x):
        result = e.clamp(b, result, -1.0, 1.0)
    else:
        _note(b)
        for _ in _steps(b):
            result = e.clamp(b, e.scaled(b, result, _STEP), -1.0, 1.0)
    b.bounds[result.id] = Interval(-1.0, 1.0, True)
    b.sign_of[result.id] = x
    return result


def greater(b: Builder, x: Value, y: Value) -> Value:
    """1 where x > y, else 0."""
    return _is_positive(b, e.relu(b, _difference(b, x, y)))


def at_least(b: Builder, x: Value, y: Value) -> Value:
    """1 where x >= y, else 0."""
    return negation(b, greater(b, y, x))


def unequal(b: Builder, x: Value, y: Value) -> Value:
    """1 where x and y differ, else 0."""
    return _is_positive(b, b.node(Abs(), _difference(b, x, y)))


def equal(b: Builder, x: Value, y: Value) -> Value:
    """1 where x and y are equal, else 0."""
    if is_whole(b, x) and is_whole(b, y):
        return equal_whole(b, x, y)
    return negation(b, unequal(b, x, y))


def is_true(b: Builder, x: Value) -> Value:
    """1 where x is not 0; flags stay as they are."""
    if b.bounds.get(x.id) == _FLAGS:
        return x
    return unequal(b, x, b.const(0.0))


def negation(b: Builder, flag: Value) -> Value:
    """1 for 0, and 0 for 1."""
    return _flags(b, e.sub(b, b.full(flag.shape, 1.0), flag))


def both(b: Builder, x: Value, y: Value) -> Value:
    """Where two flags are 1."""
    return _flags(b, e.mul(b, x, y))


def either(b: Builder, x: Value, y: Value) -> Value:
    """Where at least one of two flags is 1."""
    return _flags(b, e.maximum(b, x, y))


def one_of_two(b: Builder, x: Value, y: Value) -> Value:
    """Where exactly one of two flags is 1."""
    return _flags(b, b.node(Abs(), e.sub(b, x, y)))


def choice(b: Builder, flag: Value, x: Value, y: Value) -> Value:
    """x where a flag is 1, else y: flag * x + (1 - flag) * y, both finite."""
    shape = np.broadcast_shapes(flag.shape, x.shape, y.shape)
    parts = [
        e.mul(b, keep, part)
        for keep, part in ((flag, x), (negation(b, flag), y))
        if e.number_of(b, part) != 0.0
    ]
    if not parts:
        return b.full(shape, 0.0)
    message = "a choice by numbers of the input is right where both sides are finite"
    b.note("finite-only", message)
    return b.broadcast(parts[0] if len(parts) == 1 else e.add(b, *parts), shape)


def shrink(b: Builder, x: Value, bias: float, threshold: float) -> Value:
    """x drawn to 0 by `bias` beyond a threshold on both sides, 0 in between."""
    limit = b.const(threshold)
    above, below = greater(b, x, limit), greater(b, e.neg(b, x), limit)
    kept = e.mul(b, _flags(b, e.add(b, above, below)), x)
    return e.sub(b, kept, e.scaled(b, e.sub(b, above, below), bias)) if bias else kept


def _difference(b: Builder, x: Value, y: Value) -> Value:
    shape = np.broadcast_shapes(x.shape, y.shape)
    if e.number_of(b, y) == 0.0:
        return b.broadcast(x, shape)
    return b.broadcast(e.neg(b, y), shape) if e.number_of(b, x) == 0.0 else e.sub(b, x, y)


def _is_positive(b: Builder, x: Value) -> Value:
    """1 where x is above 0, and 0 where it is 0; it is never below."""
    result = b.node(Detach(), x)
    if is_whole(b, x):
        return _flags(b, e.clamp(b, result, None, 1.0))
    _note(b)
    for _ in _steps(b):
        result = e.clamp(b, e.scaled(b, result, _STEP), None, 1.0)
    return _flags(b, result)


def _flags(b: Builder, x: Value) -> Value:
    """The value itself, known to hold 0 and 1 alone."""
    b.bounds[x.id] = _FLAGS
    return x


def _note(b: Builder) -> None:
    message = "a comparison of NaN, or of two equal infinities, is NaN"
    b.note("finite-only", message)
