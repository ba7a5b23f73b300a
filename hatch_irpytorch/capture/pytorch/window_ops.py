"""ATen ops of windows: pooling, resizing, unfolding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from hatch_irpytorch.capture.builder import Value
from hatch_irpytorch.capture.layers import windows as w
from hatch_irpytorch.capture.pytorch.arguments import Handler, Ints, each, geometry
from hatch_irpytorch.capture.pytorch.tensors import Context, Tensor
from hatch_irpytorch.capture.selections.matrices import apply_matrix

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def _max_pool(rank: int, pair: bool = False) -> Handler:
    def convert(
        c: Context,
        x: Tensor,
        kernel_size: int | Ints,
        stride: int | Ints = (),
        padding: int | Ints = 0,
        dilation: int | Ints = 1,
        ceil_mode: bool = False,
    ) -> Any:
        y, kernel = c.value(x), each(kernel_size, rank)
        window = geometry(rank, stride or kernel, padding, dilation)
        if ceil_mode:
            pads = w.ceil_pads(y.shape[y.rank - rank :], kernel, window)
            window = w.Geometry(window.stride, tuple(pads), window.dilation)
        pooled = w.max_pool(c.builder, y, kernel, window)
        return (pooled, None) if pair else pooled

    return convert


def _avg_pool(rank: int) -> Handler:
    def convert(
        c: Context,
        x: Tensor,
        kernel_size: int | Ints,
        stride: int | Ints = (),
        padding: int | Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Value:
        y, kernel = c.value(x), each(kernel_size, rank)
        window = geometry(rank, stride or kernel, padding)
        counted = window.pads if count_include_pad else ((0, 0),) * rank
        if ceil_mode:
            pads = w.ceil_pads(y.shape[y.rank - rank :], kernel, window)
            window = w.Geometry(window.stride, tuple(pads), window.dilation)
        divisor = None if divisor_override is None else float(divisor_override)
        return w.average_pool(c.builder, y, kernel, window, counted, divisor)

    return convert


def _adaptive_avg_pool(rank: int) -> Handler:
    def convert(c: Context, x: Tensor, size: int | Ints) -> Value:
        y, sizes = c.value(x), each(size, rank)
        own = y.shape[y.rank - rank :] == sizes
        return y if own else w.adaptive_average_pool(c.builder, y, sizes)

    return convert


def _adaptive_max_pool(rank: int) -> Handler:
    def convert(c: Context, x: Tensor, size: int | Ints) -> tuple[Value, None]:
        return w.adaptive_max_pool(c.builder, c.value(x), each(size, rank)), None

    return convert


def _nearest(rank: int, mode: str = "nearest") -> Handler:
    def convert(c: Context, x: Tensor, size: Ints | None = None, *scales: Any) -> Value:
        y = c.value(x)
        spatial = y.shape[y.rank - rank :]
        factors = _factors(scales, rank)
        out = _output_size(spatial, size, factors)
        whole = all(o % i == 0 for o, i in zip(out, spatial, strict=True))
        exact = all(f is None or float(f).is_integer() for f in factors)
        if whole and exact:
            return w.resize_by_integers(
                c.builder, y, [o // i for o, i in zip(out, spatial, strict=True)]
            )
        for axis, (extent, length) in enumerate(zip(spatial, out, strict=True)):
            matrix = _interpolation(extent, length, factors[axis], mode=mode)
            y = _by_matrix(c, y, y.rank - rank + axis, matrix)
        return y

    return convert


def _by_matrix(c: Context, x: Value, axis: int, matrix: Array) -> Value:
    """An axis by a matrix, which is nothing where every entry stays what it is."""
    stays = np.array_equal(matrix, np.eye(len(matrix), matrix.shape[1]))
    return x if stays else apply_matrix(c.builder, x, axis, matrix)


def _factors(scales: Sequence[Any], rank: int) -> list[float | None]:
    """Scale factors that are given one by one, as one list, or not at all."""
    if len(scales) == 1 and isinstance(scales[0], list | tuple):
        scales = scales[0]
    return list(scales) if len(scales) == rank else [None] * rank


def _output_size(spatial: Ints, size: Ints | None, factors: Sequence[float | None]) -> list[int]:
    if size is not None:
        return list(size)
    return [int(i * (f or 1.0)) for i, f in zip(spatial, factors, strict=True)]


def _interpolated(mode: str, rank: int, antialias: bool = False) -> Handler:
    """Resizing that is linear in the entries: the weights are those of the unit vectors."""

    def convert(
        c: Context, x: Tensor, size: Ints | None, align_corners: bool, *scales: Any
    ) -> Value:
        y = c.value(x)
        spatial = y.shape[y.rank - rank :]
        factors = _factors(scales, rank)
        out = _output_size(spatial, size, factors)
        for axis, (extent, length) in enumerate(zip(spatial, out, strict=True)):
            matrix = _interpolation(
                *(extent, length, factors[axis]),
                mode=mode,
                align_corners=align_corners,
                antialias=antialias,
            )
            y = _by_matrix(c, y, y.rank - rank + axis, matrix)
        return y

    return convert


def _interpolation(extent: int, length: int, factor: float | None, **named: Any) -> Array:
    """The (length, extent) matrix of a resizing along one axis."""
    in_plane = named["mode"] == "bicubic" or named.get("antialias", False)
    if not in_plane:
        one_axis = {"bilinear": "linear", "trilinear": "linear"}
        named["mode"] = one_axis.get(named["mode"], named["mode"])
    units = torch.eye(extent, dtype=torch.float64).reshape(extent, 1, extent)
    if in_plane:
        if factor is None:
            result = functional.interpolate(units[:, :, None], size=(1, length), **named)
        else:
            result = functional.interpolate(units[:, :, None], scale_factor=(1.0, factor), **named)
    elif factor is None:
        result = functional.interpolate(units, size=length, **named)
    else:
        result = functional.interpolate(units, scale_factor=factor, **named)
    return result.reshape(extent, length).T.numpy()


def _im2col(
    c: Context, x: Tensor, kernel_size: Ints, dilation: Ints, padding: Ints, stride: Ints
) -> Value:
    y, b = c.value(x), c.builder
    window = geometry(2, stride, padding, dilation)
    if y.rank == 3:
        single = b.reshape(y, (1, *y.shape))
        wide = w.unfold(b, single, each(kernel_size, 2), window)
        return b.reshape(wide, wide.shape[1:])
    return w.unfold(b, y, each(kernel_size, 2), window)


OPS: dict[str, Handler] = {
    "_upsample_bicubic2d_aa": _interpolated("bicubic", 2, antialias=True),
    "_upsample_bilinear2d_aa": _interpolated("bilinear", 2, antialias=True),
    **{f"_upsample_nearest_exact{d}d": _nearest(d, "nearest-exact") for d in (1, 2, 3)},
    "_adaptive_avg_pool2d": _adaptive_avg_pool(2),
    "_adaptive_avg_pool3d": _adaptive_avg_pool(3),
    "adaptive_avg_pool1d": _adaptive_avg_pool(1),
    "adaptive_avg_pool2d": _adaptive_avg_pool(2),
    "adaptive_avg_pool3d": _adaptive_avg_pool(3),
    "adaptive_max_pool1d": _adaptive_max_pool(1),
    "adaptive_max_pool2d": _adaptive_max_pool(2),
    "adaptive_max_pool3d": _adaptive_max_pool(3),
    "avg_pool1d": _avg_pool(1),
    "avg_pool2d": _avg_pool(2),
    "avg_pool3d": _avg_pool(3),
    "im2col": _im2col,
    "max_pool1d": _max_pool(1),
    "max_pool2d": _max_pool(2),
    "max_pool2d_with_indices": _max_pool(2, pair=True),
    "max_pool3d": _max_pool(3),
    "max_pool3d_with_indices": _max_pool(3, pair=True),
    "upsample_bicubic2d": _interpolated("bicubic", 2),
    "upsample_bilinear2d": _interpolated("bilinear", 2),
    "upsample_linear1d": _interpolated("linear", 1),
    "upsample_nearest1d": _nearest(1),
    "upsample_nearest2d": _nearest(2),
    "upsample_nearest3d": _nearest(3),
    "upsample_trilinear3d": _interpolated("trilinear", 3),
}
"""By the name of the ATen op, for all of its overloads."""
