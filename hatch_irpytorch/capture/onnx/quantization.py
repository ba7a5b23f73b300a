"""Numbers of a file to and from few bits: a scale and a zero point for all, an axis or a block."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from hatch_irpytorch.capture.builder import InexpressibleError, Value
from hatch_irpytorch.capture.entries import rounding
from hatch_irpytorch.capture.onnx.kinds import INTEGERS
from hatch_irpytorch.capture.onnx.tensors import Call, Constant, axis_of


def dequantized(c: Call) -> Constant:
    """(x - zero point) * scale, in the type of the scale."""
    x, scale = c.array(0, "numbers"), c.array(1, "a scale")
    kind = c.get("output_dtype", 0)
    step, zero = _for_entries(c, x.shape, scale)
    made: Constant = (x.astype(np.float64) - zero) * step.astype(np.float64)
    return made.astype(_type(kind) if kind else scale.dtype)


def quantized(c: Call) -> Constant:
    """x / scale to the nearest whole number, ties to even, plus the zero point, cut to the type."""
    x, scale = c.array(0, "numbers"), c.array(1, "a scale")
    kind = c.kind(2) if c.has(2) else c.get("output_dtype", 0) or int(TensorProto.UINT8)
    c.get("output_dtype", 0)
    c.get("precision", 0)
    if kind not in INTEGERS:
        raise InexpressibleError("numbers that are rounded to a float type of few bits")
    step, zero = _for_entries(c, x.shape, scale)
    found = np.rint((x / step.astype(x.dtype)).astype(np.float64)) + zero
    low, high = _bounds(kind)
    cut: Constant = np.clip(found, low, high)
    return cut.astype(_type(kind))


def quantized_value(c: Call) -> Value:
    """The same of what depends on the input; a scale and a zero point are constants."""
    scale = c.array(1, "a scale")
    kind = c.kind(2) if c.has(2) else c.get("output_dtype", 0) or int(TensorProto.UINT8)
    c.get("output_dtype", 0)
    c.get("precision", 0)
    if kind not in INTEGERS:
        raise InexpressibleError("numbers that are rounded to a float type of few bits")
    step, zero = _for_entries(c, c.x.shape, scale)
    return rounding.quantized(c.b, c.x, step.astype(np.float64), zero, *_bounds(kind))


def dequantized_value(c: Call) -> Value:
    """The same of what depends on the input."""
    c.get("output_dtype", 0)
    step, zero = _for_entries(c, c.x.shape, c.array(1, "a scale"))
    return rounding.dequantized(c.b, c.x, step.astype(np.float64), zero)


def _for_entries(c: Call, shape: tuple[int, ...], scale: Constant) -> tuple[Constant, Constant]:
    """The scale and the zero point of each entry."""
    zero = c.array(2, "a zero point").astype(np.float64) if c.has(2) else np.zeros(scale.shape)
    if zero.shape != scale.shape:
        raise InexpressibleError(f"zero points of shape {zero.shape} for scales of {scale.shape}")
    if scale.size == 1 and scale.ndim <= 1:
        c.get("axis", 1)
        c.get("block_size", 0)
        return scale.reshape(()), zero.reshape(())
    axis, block = axis_of(c.get("axis", 1), len(shape)), int(c.get("block_size", 0))
    if block:
        if scale.ndim != len(shape) or scale.shape[axis] != -(-shape[axis] // block):
            raise InexpressibleError(f"scales of shape {scale.shape} in blocks of {block}")
        inside = np.arange(shape[axis]) // block
        return np.take(scale, inside, axis), np.take(zero, inside, axis)
    if scale.shape != (shape[axis],):
        raise InexpressibleError(f"scales of shape {scale.shape} for {shape[axis]} positions")
    along = [-1 if i == axis else 1 for i in range(len(shape))]
    return scale.reshape(along), zero.reshape(along)


def _bounds(kind: int) -> tuple[int, int]:
    """The least and the largest number of an integer type; NumPy knows none of four bits."""
    if kind in _FOUR_BITS:
        return _FOUR_BITS[kind]
    info = np.iinfo(_type(kind))
    return int(info.min), int(info.max)


_FOUR_BITS = {int(TensorProto.INT4): (-8, 7), int(TensorProto.UINT4): (0, 15)}


def _type(kind: int) -> np.dtype[Any]:
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind))
