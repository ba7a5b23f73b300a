"""ATen ops that round, divide with rounding, and quantize."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from hatch_irpytorch.capture.builder import InexpressibleError, Value
from hatch_irpytorch.capture.entries import rounding
from hatch_irpytorch.capture.pytorch.arguments import Handler, Number, as_number, formula
from hatch_irpytorch.capture.pytorch.tensors import Context, Tensor


def _by_constant(function: Callable[..., Value]) -> Handler:
    """A division by one number, or by constants that fit."""

    def convert(c: Context, x: Tensor, divisor: Tensor | Number) -> Value:
        number = as_number(divisor)
        if number is None:
            array = c.constant(divisor, "a divisor").numpy().astype(np.float64)
            return function(c.builder, c.value(x), array)
        return function(c.builder, c.value(x), number)

    return convert


FLOORED = _by_constant(rounding.floored_quotient)
CUT = _by_constant(rounding.cut_quotient)


def _round(c: Context, x: Tensor, *, decimals: int = 0) -> Value:
    return rounding.rounded(c.builder, c.value(x), decimals)


def _fake_quantized(
    c: Context, x: Tensor, scale: Tensor | Number, zero: Tensor | Number, low: int, high: int
) -> tuple[Value, None]:
    return _quantized(c, c.value(x), scale, zero, None, low, high), None


def _of_channels(
    c: Context, x: Tensor, scale: Tensor, zero: Tensor, axis: int, low: int, high: int
) -> tuple[Value, None]:
    return _quantized(c, c.value(x), scale, zero, axis, low, high), None


def _quantized(
    c: Context,
    x: Value,
    scale: Tensor | Number,
    zero: Tensor | Number,
    axis: int | None,
    low: int,
    high: int,
) -> Value:
    shape = [1] * x.rank if axis is not None else []
    if axis is not None:
        shape[axis] = x.shape[axis]
    numbers = []
    for given in (scale, zero):
        if isinstance(given, Value):
            raise InexpressibleError("a scale or a zero point that depends on the input")
        array = given.detach().numpy() if isinstance(given, torch.Tensor) else given
        numbers.append(np.asarray(array, np.float64).reshape(shape))
    return rounding.fake_quantized(c.builder, x, numbers[0], numbers[1], low, high)


OPS: dict[str, Handler] = {
    "ceil": formula(rounding.ceil),
    "fake_quantize_per_channel_affine_cachemask": _of_channels,
    "fake_quantize_per_tensor_affine_cachemask": _fake_quantized,
    "floor": formula(rounding.floor),
    "floor_divide": FLOORED,
    "fmod": _by_constant(rounding.fmod),
    "frac": formula(rounding.fraction),
    "remainder": _by_constant(rounding.remainder),
    "round": _round,
    "trunc": formula(rounding.trunc),
}
"""By the name of the ATen op, for all of its overloads."""
