"""ATen ops with weights: linear, convolutions, normalisations."""

from __future__ import annotations

from typing import Any

import torch

from hatch_irpytorch.capture.builder import Value
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.capture.layers import normalization as n
from hatch_irpytorch.capture.layers import products as p
from hatch_irpytorch.capture.layers import windows as w
from hatch_irpytorch.capture.pytorch.arguments import Handler, Ints, each, geometry
from hatch_irpytorch.capture.pytorch.tensors import Context, Parameter, Tensor
from hatch_irpytorch.ir.ops.learned import LearnedAffine, LearnedWeight


def _learned_weight(c: Context, weight: Tensor, bias: Tensor | None) -> LearnedWeight:
    return LearnedWeight(weight=c.is_learned(weight), bias=c.is_learned(bias))


def _learned_affine(c: Context, weight: Tensor | None, bias: Tensor | None) -> LearnedAffine:
    return LearnedAffine(gamma=c.is_learned(weight), beta=c.is_learned(bias))


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
    learned = _learned_weight(c, weight, bias)
    return p.linear(c.builder, c.value(x), array, c.payload(bias, "bias"), learned)


def _bilinear(
    c: Context, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Value:
    b = c.builder
    out = p.einsum(b, "...i,oij,...j->...o", c.value(x), c.value(weight), c.value(y))
    return out if bias is None else e.add(b, out, c.value(bias))


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
        spread = each(dilation, rank)
        none = ((0, 0),) * rank
        pads = none if padding == "valid" else _same_pads(kernel.shape[2:], spread)
        window = w.Geometry(each(stride, rank), pads, spread, groups)
    else:
        window = geometry(rank, stride, padding, dilation, groups)
    shift, learned = c.payload(bias, "bias"), _learned_weight(c, weight, bias)
    return w.convolution(c.builder, c.value(x), kernel, shift, window, learned)


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
    window = geometry(rank, stride, padding, dilation, groups)
    return w.transposed_convolution(
        c.builder,
        c.value(x),
        kernel,
        c.payload(bias, "bias"),
        window,
        each(output_padding, rank),
        _learned_weight(c, weight, bias),
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
    return n.batch_norm(b, y, 1, gamma, beta, (mean, var), eps, _learned_affine(c, weight, bias))


def _batch_norm_first(c: Context, *arguments: Any) -> tuple[Value, None, None]:
    x, weight, bias, mean, var, momentum, eps = arguments[:7]
    return _batch_norm(c, x, weight, bias, mean, var, False, momentum, eps), None, None


def _batch_norm_of_batch(
    c: Context, x: Tensor, weight: Tensor | None, bias: Tensor | None, *rest: Any
) -> tuple[Value, None, None]:
    """Batch norm without stored statistics, which takes those of its input."""
    eps = rest[-1]
    return _batch_norm(c, x, weight, bias, None, None, True, 0.0, eps), None, None


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
        learned = _learned_affine(c, weight, bias)
        return n.layer_norm(b, y, axis, gamma, c.payload(bias, "shift"), eps, learned)
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
    c: Context,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    batch: int,
    channels: int,
    size: int,
    groups: int,
    eps: float,
) -> tuple[Value, None, None]:
    return _group_norm(c, x, groups, weight, bias, eps), None, None


def _instance_norm(
    c: Context,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    *_: object,
) -> Value:
    if not use_input_stats:
        return _batch_norm(c, x, weight, bias, running_mean, running_var, False, momentum, eps)
    return _group_norm(c, x, c.value(x).shape[1], weight, bias, eps)


def _rms_norm(
    c: Context,
    x: Tensor,
    normalized_shape: Ints,
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Value:
    y = c.value(x)
    scale = None if weight is None else c.value(weight)
    value = float(torch.finfo(torch.float32).eps) if eps is None else eps
    axes = range(y.rank - len(normalized_shape), y.rank)
    return n.rms_norm(c.builder, y, axes, scale, value)


OPS: dict[str, Handler] = {
    "_native_batch_norm_legit": _batch_norm_of_batch,
    "_native_batch_norm_legit_no_training": _batch_norm_first,
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
    "instance_norm": _instance_norm,
    "layer_norm": _layer_norm,
    "linear": _linear,
    "native_group_norm": _native_group_norm,
    "native_layer_norm": _native_layer_norm,
    "rms_norm": _rms_norm,
}
"""By the name of the ATen op, for all of its overloads."""
