"""Reading between entries at constant places: a product with the weights of all entries."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Value
from hatch_irpytorch.capture.layers.products import matmul
from hatch_irpytorch.ir.shapes import numel

Array = np.ndarray[tuple[Any, ...], np.dtype[np.float64]]
Mode = Literal["nearest", "linear", "cubic"]
Padding = Literal["zeros", "border", "reflection"]

_CUBIC = -0.75
"""The slope of the cubic weights at distance 1, as torch and ONNX have it."""

_OUTSIDE = 4.0
"""From here on every entry that is read lies outside."""


def sample(
    b: Builder, x: Value, grid: Array, mode: Mode, padding: Padding, align_corners: bool
) -> Value:
    """x (N, C, *spatial) at the places (N, *out, axes) of a grid, whose last axis comes first.

    A place runs from -1 to 1 along its axis. The nearest entry is looked for in the dtype of the
    grid: a place in the middle has one there.
    """
    batch, channels, *spatial = x.shape
    if grid.shape[0] != batch or grid.shape[-1] != len(spatial):
        raise InexpressibleError(f"a grid of shape {grid.shape} for a tensor of shape {x.shape}")
    if not np.isfinite(grid).all():
        raise InexpressibleError("a grid with places that are not finite")
    out = grid.shape[1:-1]
    cells, points = numel(tuple(spatial)), numel(out)
    same = bool((grid == grid[:1]).all())
    places = grid[:1] if same else grid
    b.budget.spend_for_a_while(len(places) * cells * points)
    flat = places.reshape(len(places), points, len(spatial))
    weights = np.ones((len(places), points, 1))
    for axis, extent in enumerate(spatial):
        along = _weights(flat[..., len(spatial) - 1 - axis], extent, mode, padding, align_corners)
        weights = (weights[..., :, None] * along[..., None, :]).reshape(len(places), points, -1)
    matrix = np.swapaxes(weights, 1, 2)
    factor = b.const(matrix[0] if len(matrix) == 1 else matrix)
    read = matmul(b, b.reshape(x, (batch, channels, cells)), factor)
    return b.reshape(read, (batch, channels, *out))


def _weights(
    places: Array, extent: int, mode: Mode, padding: Padding, align_corners: bool
) -> Array:
    """What each entry of an axis counts at each place."""
    halves = (places + 1) * (extent - 1) if align_corners else (places + 1) * extent - 1
    entry = halves / 2
    if mode == "nearest":
        inside = _padded(entry, extent, padding, align_corners)
        return _sum([(np.rint(inside), np.ones(places.shape))], extent)
    wide = entry.astype(np.float64)
    if mode == "linear":
        inside = _padded(wide, extent, padding, align_corners)
        low = np.floor(inside)
        return _sum([(low, 1.0 - (inside - low)), (low + 1.0, inside - low)], extent)
    low = np.floor(wide)
    taps = zip(range(-1, 3), _cubic(wide - low), strict=True)
    read = [(_padded(low + i, extent, padding, align_corners), weight) for i, weight in taps]
    return _sum(read, extent)


def _padded(entry: Array, extent: int, padding: Padding, align_corners: bool) -> Array:
    """Where an entry is read in place of one outside, which stays outside among zeros."""
    last = extent - 1
    if padding == "zeros":
        return np.clip(entry, -_OUTSIDE, last + _OUTSIDE)
    if padding == "reflection":
        low, span = (0.0, float(last)) if align_corners else (-0.5, float(extent))
        if span == 0.0:
            return np.zeros_like(entry)
        beyond = np.abs(entry - low) % (2.0 * span)
        entry = np.where(beyond <= span, beyond, 2.0 * span - beyond) + low
    return np.clip(entry, 0, last)


def _cubic(fraction: Array) -> tuple[Array, Array, Array, Array]:
    """What the entries before, at, after and two after a place count."""

    def near(distance: Array) -> Array:
        return ((_CUBIC + 2.0) * distance - (_CUBIC + 3.0)) * distance**2 + 1.0

    def far(distance: Array) -> Array:
        return _CUBIC * (((distance - 5.0) * distance + 8.0) * distance - 4.0)

    rest = 1.0 - fraction
    return far(fraction + 1.0), near(fraction), near(rest), far(rest + 1.0)


def _sum(read: list[tuple[Array, Array]], extent: int) -> Array:
    """The weights of entries that lie inside, added where several read one."""
    entries = np.arange(extent)
    found = np.zeros((*read[0][0].shape, extent))
    for entry, weight in read:
        found += np.where(entry[..., None] == entries, weight[..., None], 0.0)
    return found
