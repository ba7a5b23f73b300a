"""ONNX ops that compare, choose by what was compared, and combine flags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hatch_irpytorch.capture.builder import Builder, Value
from hatch_irpytorch.capture.entries import comparisons as compare
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.capture.onnx.tensors import Call

Handler = Callable[[Call], Any]
Combined = Callable[[Builder, Value, Value], Value]


def _of_two(function: Combined) -> Handler:
    return lambda c: function(c.b, c.value(0), c.value(1))


def _swapped(function: Combined) -> Handler:
    return lambda c: function(c.b, c.value(1), c.value(0))


def _where(c: Call) -> Value:
    if c.is_constant(0):
        condition = c.array(0, "a condition").astype(np.bool_)
        return e.chosen(c.b, condition, c.value(1), c.value(2))
    return compare.choice(c.b, c.value(0), c.value(1), c.value(2))


def _thresholded_relu(c: Call) -> Value:
    return e.mul(c.b, compare.greater(c.b, c.x, c.b.const(float(c.get("alpha", 1.0)))), c.x)


def _shrink(c: Call) -> Value:
    bias, threshold = float(c.get("bias", 0.0)), float(c.get("lambd", 0.5))
    return compare.shrink(c.b, c.x, bias, threshold)


OPS: dict[str, Handler] = {
    "And": _of_two(compare.both),
    "Equal": _of_two(compare.equal),
    "Greater": _of_two(compare.greater),
    "GreaterOrEqual": _of_two(compare.at_least),
    "Less": _swapped(compare.greater),
    "LessOrEqual": _swapped(compare.at_least),
    "Not": lambda c: compare.negation(c.b, c.x),
    "Or": _of_two(compare.either),
    "Shrink": _shrink,
    "Sign": lambda c: compare.sign(c.b, c.x),
    "ThresholdedRelu": _thresholded_relu,
    "Where": _where,
    "Xor": _of_two(compare.one_of_two),
}
"""By op type."""
