"""Columns of windows added up where the windows lie: what undoes `unfold`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Value
from hatch_irpytorch.capture.layers.windows import Geometry, transposed_convolution
from hatch_irpytorch.ir.ops.learned import NO_WEIGHT
from hatch_irpytorch.ir.shapes import numel


def fold(
    b: Builder, x: Value, sizes: Sequence[int], kernel: Sequence[int], geometry: Geometry
) -> Value:
    """x (N, C·kernel, windows) as (N, C, *sizes); entries of several windows are added."""
    cells = numel(tuple(kernel))
    batch, channels = x.shape[0], x.shape[1] // cells
    counts = [
        (size + sum(pads) - spread * (length - 1) - 1) // step + 1
        for size, length, step, pads, spread in zip(
            sizes, kernel, geometry.stride, geometry.pads, geometry.dilation, strict=True
        )
    ]
    if channels * cells != x.shape[1] or numel(tuple(counts)) != x.shape[2]:
        raise InexpressibleError("columns that do not fit the windows")
    if _is_tiling(sizes, kernel, geometry):
        return _tiled(b, x, sizes, kernel, counts)
    trailing = [
        size + sum(pads) - spread * (length - 1) - 1 - (count - 1) * step
        for size, length, step, pads, spread, count in zip(
            sizes, kernel, geometry.stride, geometry.pads, geometry.dilation, counts, strict=True
        )
    ]
    b.budget.spend_for_a_while(channels * cells**2)
    units = np.tile(np.eye(cells), (channels, 1)).reshape(channels * cells, 1, *kernel)
    windows = b.reshape(x, (batch, channels * cells, *counts))
    grouped = Geometry(geometry.stride, geometry.pads, geometry.dilation, channels)
    return transposed_convolution(b, windows, units, None, grouped, trailing, NO_WEIGHT)


def _is_tiling(sizes: Sequence[int], kernel: Sequence[int], geometry: Geometry) -> bool:
    """Whether the windows lie side by side and cover everything."""
    return (
        geometry.stride == tuple(kernel)
        and set(geometry.dilation) == {1}
        and not any(map(any, geometry.pads))
        and all(size % length == 0 for size, length in zip(sizes, kernel, strict=True))
    )


def _tiled(
    b: Builder, x: Value, sizes: Sequence[int], kernel: Sequence[int], counts: Sequence[int]
) -> Value:
    rank, batch = len(kernel), x.shape[0]
    channels = x.shape[1] // numel(tuple(kernel))
    split = b.reshape(x, (batch, channels, *kernel, *counts))
    pairs = [axis for i in range(rank) for axis in (2 + rank + i, 2 + i)]
    return b.reshape(b.permute(split, [0, 1, *pairs]), (batch, channels, *sizes))
