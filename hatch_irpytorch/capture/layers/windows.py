"""Convolutions, pooling and resizing: all that slides over spatial axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Reals, Value
from hatch_irpytorch.capture.entries.elementwise import maximum, mul, scaled
from hatch_irpytorch.capture.layers.reductions import largest, mean
from hatch_irpytorch.capture.selections.cuts import repeat_entries
from hatch_irpytorch.capture.selections.matrices import apply_matrix
from hatch_irpytorch.capture.selections.movement import Pads, insert_zeros, pad_constant
from hatch_irpytorch.capture.selections.selection import slice_axis, take
from hatch_irpytorch.capture.training import without_bias
from hatch_irpytorch.ir.ops.convolution import Conv
from hatch_irpytorch.ir.ops.learned import LearnedWeight
from hatch_irpytorch.ir.ops.pooling import AvgPool, MaxPool
from hatch_irpytorch.ir.shapes import numel

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
LOWEST = -float(np.finfo(np.float32).max)
"""Below every entry: what max pooling reads outside of its input."""


@dataclass(frozen=True)
class Geometry:
    """How a window slides over the spatial axes; `pads` is (before, after) of each."""

    stride: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int = 1


def convolution(
    b: Builder,
    x: Value,
    kernel: Reals,
    bias: Reals | None,
    geometry: Geometry,
    learned: LearnedWeight,
) -> Value:
    """One `conv` node over x (N, C, *spatial) or (C, *spatial); kernel (out, in/groups, *k)."""
    rank = kernel.ndim - 2
    channel_axis = x.rank - rank - 1
    pads = geometry.pads
    before = b.padded.get(x.id)
    if before is not None and not any(map(any, before.pads[: channel_axis + 1])):
        x = before.source
        outer = before.pads[channel_axis + 1 :]
        pads = tuple((i + k, j + m) for (i, j), (k, m) in zip(pads, outer, strict=True))
    if any(amount < 0 for pair in pads for amount in pair):
        x = pad_constant(
            b, x, [(0, 0)] * (channel_axis + 1) + [(min(i, 0), min(j, 0)) for i, j in pads]
        )
        pads = tuple((max(i, 0), max(j, 0)) for i, j in pads)
    if bias is None:
        learned = without_bias(b, learned)
        bias = np.zeros(len(kernel))
    op = Conv(
        spatial_rank=rank,
        kernel=tuple(int(k) for k in kernel.shape[2:]),
        stride=geometry.stride,
        padding=tuple(i for i, _ in pads),
        padding_after=tuple(j for _, j in pads),
        dilation=geometry.dilation,
        groups=geometry.groups,
        channel_axis=channel_axis,
        in_channels=x.shape[channel_axis],
        out_channels=len(kernel),
        learnable=learned,
    )
    payload = {
        "weight": kernel,
        "bias": bias,
    }
    return b.node(op, x, payload=payload)


def transposed_convolution(
    b: Builder,
    x: Value,
    kernel: Reals,
    bias: Reals | None,
    geometry: Geometry,
    output_padding: Sequence[int],
    learned: LearnedWeight,
) -> Value:
    """The gradient of a convolution as one: zeros between the entries, the kernel flipped.

    `kernel` is (in, out/groups, *k); `geometry` is that of the convolution it undoes.
    """
    rank = kernel.ndim - 2
    first = x.rank - rank
    for axis in range(rank):
        x = insert_zeros(b, x, first + axis, geometry.stride[axis])
    flipped = np.flip(kernel, axis=tuple(range(2, kernel.ndim)))
    groups = geometry.groups
    inputs, outputs = kernel.shape[0] // groups, kernel.shape[1]
    blocks = flipped.reshape(groups, inputs, outputs, *kernel.shape[2:]).swapaxes(1, 2)
    turned = blocks.reshape(groups * outputs, inputs, *kernel.shape[2:])
    pads = []
    for axis in range(rank):
        reach = geometry.dilation[axis] * (kernel.shape[2 + axis] - 1)
        before, after = geometry.pads[axis]
        trailing = geometry.stride[axis] - 1
        pads.append((reach - before, reach - after + output_padding[axis] - trailing))
    plain = Geometry((1,) * rank, tuple(pads), geometry.dilation, groups)
    return convolution(b, x, turned, bias, plain, learned)


def ceil_pads(spatial: Sequence[int], kernel: Sequence[int], geometry: Geometry) -> Pads:
    """The padding that makes the last window of each axis whole, as `ceil_mode` counts it."""
    result = []
    axes = zip(spatial, kernel, geometry.stride, geometry.pads, geometry.dilation, strict=True)
    for extent, size, step, (before, after), spread in axes:
        span = spread * (size - 1) + 1
        windows = -(-(extent + before + after - span) // step) + 1
        if (windows - 1) * step >= extent + before:
            windows -= 1
        missing = (windows - 1) * step + span - extent - before
        result.append((before, max(missing, after)))
    return tuple(result)


def max_pool(b: Builder, x: Value, kernel: Sequence[int], geometry: Geometry) -> Value:
    """The largest entry of each window; what lies outside never counts."""
    rank = len(kernel)
    pads = geometry.pads
    if set(geometry.dilation) != {1}:
        return _dilated_max_pool(b, x, kernel, geometry)
    plain = all(i == j and i <= k // 2 for (i, j), k in zip(pads, kernel, strict=True))
    if not plain:
        x = pad_constant(b, x, [(0, 0)] * (x.rank - rank) + list(pads), LOWEST)
        pads = ((0, 0),) * rank
    amounts = tuple(i for i, _ in pads)
    return b.node(MaxPool(rank, tuple(kernel), geometry.stride, amounts), x)


def _dilated_max_pool(b: Builder, x: Value, kernel: Sequence[int], geometry: Geometry) -> Value:
    rank = len(kernel)
    first = x.rank - rank
    x = pad_constant(b, x, [(0, 0)] * first + list(geometry.pads), LOWEST)
    for axis in range(rank):
        span = geometry.dilation[axis] * (kernel[axis] - 1)
        stop = x.shape[first + axis] - span
        taps = [
            slice_axis(b, x, first + axis, i, stop + i, geometry.stride[axis])
            for i in range(0, span + 1, geometry.dilation[axis])
        ]
        x = taps[0]
        for tap in taps[1:]:
            x = maximum(b, x, tap)
    return x


def average_pool(
    b: Builder,
    x: Value,
    kernel: Sequence[int],
    geometry: Geometry,
    counted: Pads,
    divisor: float | None = None,
) -> Value:
    """The sum of each window by the number of its cells, or by `divisor`.

    `counted` is the part of the padding whose cells count; `geometry.pads` may reach further.
    """
    rank = len(kernel)
    lead, spatial = x.shape[: x.rank - rank], x.shape[x.rank - rank :]
    pads = geometry.pads
    cells = _window_cells(b, spatial, kernel, geometry, counted)
    whole = float(np.prod(kernel))
    plain = all(i == j and i <= k // 2 for (i, j), k in zip(pads, kernel, strict=True))
    if not plain:
        x = pad_constant(b, x, [(0, 0)] * len(lead) + list(pads))
        pads = ((0, 0),) * rank
    op = AvgPool(rank, tuple(kernel), geometry.stride, tuple(i for i, _ in pads))
    pooled = b.node(op, x)
    if divisor is not None:
        return scaled(b, pooled, whole / divisor)
    factor = whole / cells
    if np.all(factor == 1.0):
        return pooled
    return mul(b, pooled, b.const(factor))


def _window_cells(
    b: Builder, spatial: Sequence[int], kernel: Sequence[int], geometry: Geometry, counted: Pads
) -> Array:
    """How many cells of each window lie in the input and its counted padding."""
    result = np.ones(())
    axes = zip(spatial, kernel, geometry.stride, geometry.pads, counted, strict=True)
    for extent, size, step, (before, after), (low, high) in axes:
        windows = len(range(0, extent + before + after - size + 1, step))
        b.budget.spend_for_a_while(windows * max(result.size, 1))
        starts = np.arange(0, extent + before + after - size + 1, step) - before
        inside = np.minimum(starts + size, extent + high) - np.maximum(starts, -low)
        result = np.multiply.outer(result, inside.astype(np.float64))
    return result


def adaptive_average_pool(b: Builder, x: Value, sizes: Sequence[int]) -> Value:
    """Means over the bins of torch's adaptive pooling; equal bins are windows.

    A bin that is a whole axis is a mean of its own, as in torch, whose windows lose digits.
    """
    rank = len(sizes)
    if 0 in sizes or 0 in x.shape[x.rank - rank :]:
        raise InexpressibleError("adaptive pooling of an empty axis")
    whole = [axis - rank for axis, size in enumerate(sizes) if size == 1]
    if whole:
        x = mean(b, x, whole, True)
    spatial = x.shape[x.rank - rank :]
    if spatial == tuple(sizes):
        return x
    if all(extent % size == 0 for extent, size in zip(spatial, sizes, strict=True)):
        steps = tuple(extent // size for extent, size in zip(spatial, sizes, strict=True))
        return b.node(AvgPool(rank, steps, steps, (0,) * rank), x)
    for axis, size in zip(range(x.rank - rank, x.rank), sizes, strict=True):
        bins = _bins(x.shape[axis], size)
        b.budget.spend_for_a_while(size * x.shape[axis])
        matrix = np.zeros((size, x.shape[axis]))
        for row, (start, stop) in enumerate(bins):
            matrix[row, start:stop] = 1.0 / (stop - start)
        x = apply_matrix(b, x, axis, matrix)
    return x


def adaptive_max_pool(b: Builder, x: Value, sizes: Sequence[int]) -> Value:
    rank = len(sizes)
    for axis, size in zip(range(x.rank - rank, x.rank), sizes, strict=True):
        bins = _bins(x.shape[axis], size)
        parts = [largest(b, take(b, x, axis, range(*span)), [axis], True) for span in bins]
        x = b.concat(parts, axis)
    return x


def _bins(extent: int, size: int) -> list[tuple[int, int]]:
    return [(i * extent // size, -(-(i + 1) * extent // size)) for i in range(size)]


def resize_by_integers(b: Builder, x: Value, factors: Sequence[int]) -> Value:
    """Each entry repeated along the last axes: nearest neighbour by whole factors."""
    for axis, factor in zip(range(x.rank - len(factors), x.rank), factors, strict=True):
        if factor != 1:
            x = repeat_entries(b, x, axis, factor)
    return x


def unfold(b: Builder, x: Value, kernel: Sequence[int], geometry: Geometry) -> Value:
    """Every window of x (N, C, *spatial) as a column: (N, C·kernel, windows)."""
    rank = len(kernel)
    batch, channels = x.shape[:2]
    x = pad_constant(b, x, [(0, 0), (0, 0), *geometry.pads])
    counts = []
    for axis in range(rank):
        span = geometry.dilation[axis] * (kernel[axis] - 1)
        starts = range(0, x.shape[2 + axis] - span, geometry.stride[axis])
        offsets = range(0, span + 1, geometry.dilation[axis])
        x = take(b, x, 2 + axis, [i + k for i in starts for k in offsets])
        counts.append(len(starts))
    pairs = [i for pair in zip(counts, kernel, strict=True) for i in pair]
    split = b.reshape(x, (batch, channels, *pairs))
    windows = range(2, 2 + 2 * rank, 2)
    turned = b.permute(split, [0, 1, *(i + 1 for i in windows), *windows])
    return b.reshape(turned, (batch, channels * numel(tuple(kernel)), numel(tuple(counts))))
