"""ATen ops with weights or windows: linear, convolutions, pooling, normalisations, resizing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from hatch_irpytorch.capture import elementwise as e
from hatch_irpytorch.capture import normalization as n
from hatch_irpytorch.capture import products as p
from hatch_irpytorch.capture import windows as w
from hatch_irpytorch.capture.builder import Value
from hatch_irpytorch.capture.movement import apply_matrix
from hatch_irpytorch.capture.pytorch.tensors import Context, Parameter, Tensor

Ints = Sequence[int]
Handler = Callable[..., Any]
Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def _linear(c: Context, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Value:
    """One `linear` node; weights that something else uses too are consts and a `matmul`."""
    own = isinstance(weight, Parameter) and c.is_own(weight) and c.is_own(bias)
    if not own:
        shift = None if bias is None else c.value(bias)
        return p.affine(c.builder, c.value(x), c.value(weight), shift)
    array = c.payload(weight, "weight")
    assert array is not None
    if array.ndim == 1:
        return p.affine(c.builder, c.value(x), c.value(weight), None)
    return p.linear(c.builder, c.value(x), array, c.payload(bias, "bias"))


def _bilinear(c: Context, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor | None = None) -> Value:
    b = c.builder
    out = p.einsum(b, "...i,oij,...j->...o", c.value(x), c.value(weight), c.value(y))
    return out if bias is None else e.add(b, out, c.value(bias))


def _each(value: int | Ints, rank: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * rank if len(values) == 1 else values


def _geometry(
    rank: int, stride: int | Ints, padding: int | Ints, dilation: int | Ints = 1, groups: int = 1
) -> w.Geometry:
    pads = tuple((i, i) for i in _each(padding, rank))
    return w.Geometry(_each(stride, rank), pads, _each(dilation, rank), groups)


def _same_pads(kernel: Ints, dilation: Ints) -> tuple[tuple[int, int], ...]:
    spans = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return tuple((span // 2, span - span // 2) for span in spans)


def _conv(
    c: Context,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Ints = 1,
    padding: str | int | Ints = 0,
    dilation: int | Ints = 1,
    groups: int = 1,
) -> Value:
    kernel = c.payload(weight, "kernel")
    assert kernel is not None
    rank = kernel.ndim - 2
    if isinstance(padding, str):
        spread = _each(dilation, rank)
        none = ((0, 0),) * rank
        pads = none if padding == "valid" else _same_pads(kernel.shape[2:], spread)
        geometry = w.Geometry(_each(stride, rank), pads, spread, groups)
    else:
        geometry = _geometry(rank, stride, padding, dilation, groups)
    return w.convolution(c.builder, c.value(x), kernel, c.payload(bias, "bias"), geometry)


def _conv_transpose(
    c: Context,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Ints = 1,
    padding: int | Ints = 0,
    output_padding: int | Ints = 0,
    groups: int = 1,
    dilation: int | Ints = 1,
) -> Value:
    kernel = c.payload(weight, "kernel")
    assert kernel is not None
    rank = kernel.ndim - 2
    geometry = _geometry(rank, stride, padding, dilation, groups)
    return w.transposed_convolution(
        c.builder, c.value(x), kernel, c.payload(bias, "bias"), geometry, _each(output_padding, rank)
    )


def _convolution(
    c: Context,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    transposed: bool,
    output_padding: Ints,
    groups: int,
) -> Value:
    if transposed:
        return _conv_transpose(
            c, x, weight, bias, stride, padding, output_padding, groups, dilation
        )
    return _conv(c, x, weight, bias, stride, padding, dilation, groups)


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
        y, kernel = c.value(x), _each(kernel_size, rank)
        geometry = _geometry(rank, stride or kernel, padding, dilation)
        if ceil_mode:
            pads = w.ceil_pads(y.shape[y.rank - rank :], kernel, geometry)
            geometry = w.Geometry(geometry.stride, tuple(pads), geometry.dilation)
        pooled = w.max_pool(c.builder, y, kernel, geometry)
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
        y, kernel = c.value(x), _each(kernel_size, rank)
        geometry = _geometry(rank, stride or kernel, padding)
        counted = geometry.pads if count_include_pad else ((0, 0),) * rank
        if ceil_mode:
            pads = w.ceil_pads(y.shape[y.rank - rank :], kernel, geometry)
            geometry = w.Geometry(geometry.stride, tuple(pads), geometry.dilation)
        divisor = None if divisor_override is None else float(divisor_override)
        return w.average_pool(c.builder, y, kernel, geometry, counted, divisor)

    return convert


def _adaptive_avg_pool(rank: int) -> Handler:
    def convert(c: Context, x: Tensor, size: int | Ints) -> Value:
        return w.adaptive_average_pool(c.builder, c.value(x), _each(size, rank))

    return convert


def _adaptive_max_pool(rank: int) -> Handler:
    def convert(c: Context, x: Tensor, size: int | Ints) -> tuple[Value, None]:
        return w.adaptive_max_pool(c.builder, c.value(x), _each(size, rank)), None

    return convert


def _batch_norm(
    c: Context,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    *_: object,
) -> Value:
    mean, var = c.payload(running_mean, "mean"), c.payload(running_var, "var")
    y, b = c.value(x), c.builder
    if training or mean is None or var is None:
        axes = [axis for axis in range(y.rank) if axis != 1]
        shape = (y.shape[1], *[1] * (y.rank - 2))
        scale, shift = (None if t is None else c.value(t) for t in (weight, bias))
        return n.scale_shift(b, n.standardized(b, y, axes, eps), scale, shift, shape)
    gamma, beta = c.payload(weight, "scale"), c.payload(bias, "shift")
    return n.batch_norm(b, y, 1, gamma, beta, (mean, var), eps)


def _batch_norm_first(c: Context, *arguments: Any) -> tuple[Value, None, None]:
    x, weight, bias, mean, var, momentum, eps = arguments[:7]
    return _batch_norm(c, x, weight, bias, mean, var, False, momentum, eps), None, None


def _layer_norm(
    c: Context,
    x: Tensor,
    normalized_shape: Ints,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: object,
) -> Value:
    y, b = c.value(x), c.builder
    axis = y.rank - len(normalized_shape)
    if isinstance(weight, Parameter) and c.is_own(weight) and c.is_own(bias):
        gamma = c.payload(weight, "scale")
        assert gamma is not None
        return n.layer_norm(b, y, axis, gamma, c.payload(bias, "shift"), eps)
    scale, shift = (None if t is None else c.value(t) for t in (weight, bias))
    y = n.standardized(b, y, range(axis, y.rank), eps)
    return n.scale_shift(b, y, scale, shift, tuple(normalized_shape))


def _native_layer_norm(c: Context, *arguments: Any) -> tuple[Value, None, None]:
    return _layer_norm(c, *arguments), None, None


def _group_norm(
    c: Context,
    x: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: object,
) -> Value:
    scale, shift = (None if t is None else c.value(t) for t in (weight, bias))
    return n.group_norm(c.builder, c.value(x), groups, scale, shift, eps)


def _native_group_norm(
    c: Context, x: Tensor, weight: Tensor | None, bias: Tensor | None, batch: int, channels: int,
    size: int, groups: int, eps: float,
) -> tuple[Value, None, None]:
    return _group_norm(c, x, groups, weight, bias, eps), None, None


def _instance_norm(
    c: Context, x: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor | None,
    running_var: Tensor | None, use_input_stats: bool, momentum: float, eps: float, *_: object,
) -> Value:
    if not use_input_stats:
        return _batch_norm(
            c, x, weight, bias, running_mean, running_var, False, momentum, eps
        )
    return _group_norm(c, x, c.value(x).shape[1], weight, bias, eps)


def _rms_norm(
    c: Context, x: Tensor, normalized_shape: Ints, weight: Tensor | None = None, eps: float | None = None
) -> Value:
    y = c.value(x)
    scale = None if weight is None else c.value(weight)
    value = float(torch.finfo(torch.float32).eps) if eps is None else eps
    axes = range(y.rank - len(normalized_shape), y.rank)
    return n.rms_norm(c.builder, y, axes, scale, value)


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
            y = apply_matrix(c.builder, y, y.rank - rank + axis, matrix)
        return y

    return convert


def _factors(scales: Sequence[Any], rank: int) -> list[float | None]:
    """Scale factors that are given one by one, as one list, or not at all."""
    if len(scales) == 1 and isinstance(scales[0], list | tuple):
        scales = scales[0]
    return list(scales) if len(scales) == rank else [None] * rank


def _output_size(spatial: Ints, size: Ints | None, factors: Sequence[float | None]) -> list[int]:
    if size is not None:
        return list(size)
    return [int(i * (f or 1.0)) for i, f in zip(spatial, factors, strict=True)]


def _interpolated(mode: str, rank: int) -> Handler:
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
                extent, length, factors[axis], mode=mode, align_corners=align_corners
            )
            y = apply_matrix(c.builder, y, y.rank - rank + axis, matrix)
        return y

    return convert


def _interpolation(extent: int, length: int, factor: float | None, **named: Any) -> Array:
    """The (length, extent) matrix of a resizing along one axis."""
    one_axis = {"bilinear": "linear", "trilinear": "linear"}
    named["mode"] = one_axis.get(named["mode"], named["mode"])
    units = torch.eye(extent, dtype=torch.float64).reshape(extent, 1, extent)
    if named["mode"] == "bicubic":
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
    geometry = _geometry(2, stride, padding, dilation)
    if y.rank == 3:
        single = b.reshape(y, (1, *y.shape))
        wide = w.unfold(b, single, _each(kernel_size, 2), geometry)
        return b.reshape(wide, wide.shape[1:])
    return w.unfold(b, y, _each(kernel_size, 2), geometry)


OPS: dict[str, Handler] = {
    "_adaptive_avg_pool2d": _adaptive_avg_pool(2),
    "_adaptive_avg_pool3d": _adaptive_avg_pool(3),
    **{f"_upsample_nearest_exact{d}d": _nearest(d, "nearest-exact") for d in (1, 2, 3)},
    "_native_batch_norm_legit_no_training": _batch_norm_first,
    "adaptive_avg_pool1d": _adaptive_avg_pool(1),
    "adaptive_avg_pool2d": _adaptive_avg_pool(2),
    "adaptive_avg_pool3d": _adaptive_avg_pool(3),
    "adaptive_max_pool1d": _adaptive_max_pool(1),
    "adaptive_max_pool2d": _adaptive_max_pool(2),
    "adaptive_max_pool3d": _adaptive_max_pool(3),
    "avg_pool1d": _avg_pool(1),
    "avg_pool2d": _avg_pool(2),
    "avg_pool3d": _avg_pool(3),
    "batch_norm": _batch_norm,
    "bilinear": _bilinear,
    "conv1d": _conv,
    "conv2d": _conv,
    "conv3d": _conv,
    "conv_transpose1d": _conv_transpose,
    "conv_transpose2d": _conv_transpose,
    "conv_transpose3d": _conv_transpose,
    "convolution": _convolution,
    "group_norm": _group_norm,
    "im2col": _im2col,
    "instance_norm": _instance_norm,
    "layer_norm": _layer_norm,
    "linear": _linear,
    "max_pool1d": _max_pool(1),
    "max_pool2d": _max_pool(2),
    "max_pool2d_with_indices": _max_pool(2, pair=True),
    "max_pool3d": _max_pool(3),
    "max_pool3d_with_indices": _max_pool(3, pair=True),
    "native_group_norm": _native_group_norm,
    "native_layer_norm": _native_layer_norm,
    "rms_norm": _rms_norm,
    "upsample_bicubic2d": _interpolated("bicubic", 2),
    "upsample_bilinear2d": _interpolated("bilinear", 2),
    "upsample_linear1d": _interpolated("linear", 1),
    "upsample_nearest1d": _nearest(1),
    "upsample_nearest2d": _nearest(2),
    "upsample_nearest3d": _nearest(3),
    "upsample_trilinear3d": _interpolated("trilinear", 3),
}
"""By the name of the ATen op, for all of its overloads."""
