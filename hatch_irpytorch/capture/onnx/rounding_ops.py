"""ONNX ops that round, divide with rounding, and quantize what depends on the input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hatch_irpytorch.capture.builder import InexpressibleError, Value
from hatch_irpytorch.capture.entries import rounding
from hatch_irpytorch.capture.onnx.kinds import INTEGERS
from hatch_irpytorch.capture.onnx.quantization import dequantized_value, quantized_value
from hatch_irpytorch.capture.onnx.tensors import Array, Call

_REMAINDER_OF_REALS = 28
"""Before this opset, `Mod` of numbers that are not integers is that of C."""


def _mod(c: Call) -> Value:
    """With `fmod` of the sign of the number, else of that of the divisor."""
    if c.get("fmod", 0):
        return rounding.fmod(c.b, c.x, _divisor(c))
    if c.kind(0) not in INTEGERS and c.version < _REMAINDER_OF_REALS:
        raise InexpressibleError("`fmod` = 0 for numbers that are not integers")
    return rounding.remainder(c.b, c.x, _divisor(c))


def quotient_of_integers(c: Call) -> Value:
    """Rounded towards 0."""
    return rounding.cut_quotient(c.b, c.x, _divisor(c))


def _divisor(c: Call) -> float | Array:
    divisor = c.reals(1, "a divisor")
    return float(divisor.reshape(())) if divisor.size == 1 else divisor


OPS: dict[str, Callable[[Call], Any]] = {
    "Ceil": lambda c: rounding.ceil(c.b, c.x),
    "DequantizeLinear": dequantized_value,
    "Floor": lambda c: rounding.floor(c.b, c.x),
    "Mod": _mod,
    "QuantizeLinear": quantized_value,
    "Round": lambda c: rounding.nearest(c.b, c.x),
}
"""By op type."""
