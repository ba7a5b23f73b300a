"""Discrete Fourier transforms by constant matrices; a complex value is a pair of real ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hatch_irpytorch.capture.builder import Builder, Value
from hatch_irpytorch.capture.entries.elementwise import add, scaled, sub
from hatch_irpytorch.capture.selections.matrices import apply_matrix

Pair = tuple[Value, Value | None]
"""Real and imaginary part; no imaginary part is one of zeros."""

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def of_complex(b: Builder, x: Pair, axes: Sequence[int], scale: float, forward: bool) -> Pair:
    """The transform along the axes, times `scale`; backward with the other sign."""
    for axis in axes:
        extent = x[0].shape[axis]
        x = _along(b, x, axis, *waves(extent, extent), forward)
    return scaled(b, x[0], scale), None if x[1] is None else scaled(b, x[1], scale)


def of_real(b: Builder, x: Value, axes: Sequence[int], scale: float, half: bool) -> Pair:
    """The transform of a real tensor; `half` leaves out what mirrors along the last of the axes."""
    *others, last = axes
    extent = x.shape[last]
    kept = extent // 2 + 1 if half else extent
    pair = _along(b, (x, None), last, *waves(kept, extent), True)
    return of_complex(b, pair, others, scale, True)


def to_real(b: Builder, x: Pair, axes: Sequence[int], scale: float, extent: int) -> Value:
    """The real tensor, `extent` long along the last of the axes, that a half transform is of."""
    *others, last = axes
    real, imaginary = of_complex(b, x, others, scale, False)
    cosines, sines = waves(extent, extent)
    kept = extent // 2 + 1
    twice = np.full(kept, 2.0)
    twice[0] = 1.0
    if extent % 2 == 0:
        twice[-1] = 1.0
    result = apply_matrix(b, real, last, cosines[:, :kept] * twice)
    if imaginary is None:
        return result
    return sub(b, result, apply_matrix(b, imaginary, last, sines[:, :kept] * twice))


def _along(b: Builder, x: Pair, axis: int, cosines: Array, sines: Array, forward: bool) -> Pair:
    """(real + i imaginary)(cosines ∓ i sines)."""
    real, imaginary = x
    turned = -sines if forward else sines
    own = apply_matrix(b, real, axis, cosines)
    other = apply_matrix(b, real, axis, turned)
    if imaginary is None:
        return own, other
    back = apply_matrix(b, imaginary, axis, turned)
    return sub(b, own, back), add(b, other, apply_matrix(b, imaginary, axis, cosines))


def waves(rows: int, extent: int) -> tuple[Array, Array]:
    """cos and sin of 2π j k / extent."""
    steps = np.outer(np.arange(rows), np.arange(extent)) % extent
    angles = 2.0 * np.pi * steps / extent
    return np.cos(angles), np.sin(angles)
