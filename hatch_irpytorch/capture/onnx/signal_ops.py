"""ONNX ops of signals: Fourier transforms. The last axis holds the real and imaginary parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Value
from hatch_irpytorch.capture.layers import fourier
from hatch_irpytorch.capture.layers.windows import Geometry, convolution
from hatch_irpytorch.capture.onnx.tensors import Call, axis_of
from hatch_irpytorch.capture.selections.cuts import padded
from hatch_irpytorch.capture.selections.selection import select, slice_axis
from hatch_irpytorch.ir.ops.learned import NO_WEIGHT

_AXIS_AS_INPUT = 20
"""Before this opset, the axis of a transform is an attribute."""


def _parts(b: Builder, x: Value) -> fourier.Pair:
    if x.rank < 2 or x.shape[-1] not in (1, 2):
        raise InexpressibleError(f"{x.shape} where the last axis should hold one part or two")
    imaginary = select(b, x, -1, 1) if x.shape[-1] == 2 else None
    return select(b, x, -1, 0), imaginary


def _joined(b: Builder, pair: fourier.Pair) -> Value:
    real, imaginary = pair
    if imaginary is None:
        imaginary = b.full(real.shape, 0.0)
    return b.concat([b.reshape(part, (*part.shape, 1)) for part in (real, imaginary)], -1)


def _axis(c: Call) -> int:
    if c.version < _AXIS_AS_INPUT:
        axis = int(c.get("axis", 1))
    else:
        axis = int(c.array(2, "an axis").reshape(())) if c.has(2) else -2
    found = axis_of(axis, c.x.rank)
    if found == c.x.rank - 1:
        raise InexpressibleError("a transform along the axis of the parts")
    return found


def _dft(c: Call) -> Value:
    b, axis = c.b, _axis(c)
    x = c.x
    length = int(c.array(1, "a length").reshape(())) if c.has(1) else None
    inverse, half = bool(c.get("inverse", 0)), bool(c.get("onesided", 0))
    if inverse and half:
        return _from_half(b, x, axis, 2 * (x.shape[axis] - 1) if length is None else length)
    if length is not None:
        x = _of_length(b, x, axis, length)
    real, imaginary = _parts(b, x)
    extent = x.shape[axis]
    if not half:
        scale = 1.0 / extent if inverse else 1.0
        found = fourier.of_complex(b, (real, imaginary), [axis], scale, not inverse)
        return _joined(b, found)
    if imaginary is not None:
        raise InexpressibleError("half of a transform of complex numbers")
    return _joined(b, fourier.of_real(b, real, [axis], 1.0, True))


def _from_half(b: Builder, x: Value, axis: int, length: int) -> Value:
    """Real numbers, of the half of their transform that the rest mirrors."""
    if length < 1 or x.shape[axis] != length // 2 + 1:
        # The standard cuts off or fills up with zeros; ONNX Runtime reads other entries.
        message = f"{x.shape[axis]} entries as the half of {length}, which has two meanings"
        raise InexpressibleError(message)
    real = fourier.to_real(b, _parts(b, x), [axis], 1.0 / length, length)
    return b.reshape(real, (*real.shape, 1))


def _of_length(b: Builder, x: Value, axis: int, length: int) -> Value:
    """The axis cut off or filled up with zeros."""
    extent = x.shape[axis]
    if length < 1:
        raise InexpressibleError(f"a transform of {length} entries")
    if length < extent:
        return slice_axis(b, x, axis, 0, length)
    return padded(b, x, axis, 0, length - extent)


def _stft(c: Call) -> Value:
    """A convolution whose kernels are the waves, each times the window."""
    b, (real, imaginary) = c.b, _parts(c.b, c.x)
    if imaginary is not None:
        raise InexpressibleError("a signal of complex numbers")
    step = int(c.array(1, "a step").reshape(()))
    window = c.reals(2, "a window") if c.has(2) else None
    length = int(c.array(3, "a length").reshape(())) if c.has(3) else None
    size = length if length is not None else 0 if window is None else window.size
    if step < 1 or size < 1 or (window is not None and window.shape != (size,)):
        raise InexpressibleError(f"frames of {size} entries at a step of {step}")
    count = size // 2 + 1 if c.get("onesided", 1) else size
    b.budget.spend_for_a_while(2 * count * size)
    cosines, sines = fourier.waves(count, size)
    kernel = np.stack([cosines, -sines]) * (1.0 if window is None else window)
    batch, extent = real.shape
    signal = b.reshape(real, (batch, 1, extent))
    geometry = Geometry((step,), ((0, 0),), (1,))
    rows = kernel.reshape(2 * count, 1, size)
    frames = convolution(b, signal, rows, None, geometry, NO_WEIGHT)
    split = b.reshape(frames, (batch, 2, count, frames.shape[-1]))
    return b.permute(split, (0, 3, 2, 1))


OPS: dict[str, Callable[[Call], Any]] = {"DFT": _dft, "STFT": _stft}
"""By op type."""
