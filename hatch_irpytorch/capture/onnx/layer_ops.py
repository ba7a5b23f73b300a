"""ONNX ops with weights or windows: convolutions, pooling, normalisations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hatch_irpytorch.capture.builder import InexpressibleError, Value
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.capture.entries.powers import power
from hatch_irpytorch.capture.layers import normalization as n
from hatch_irpytorch.capture.layers import reductions as r
from hatch_irpytorch.capture.layers import windows as w
from hatch_irpytorch.capture.onnx.tensors import Array, Call, axis_of
from hatch_irpytorch.capture.selections.cuts import repeat_entries
from hatch_irpytorch.capture.selections.matrices import apply_matrix
from hatch_irpytorch.ir.ops.elementwise import Abs, Sqrt

Handler = Callable[[Call], Any]
Pads = tuple[tuple[int, int], ...]


def _geometry(c: Call, spatial: Sequence[int], kernel: Sequence[int]) -> w.Geometry:
    """Stride, padding and dilation of a window, with `auto_pad` worked out."""
    rank = len(kernel)
    stride = tuple(c.get("strides", [1] * rank))
    dilation = tuple(c.get("dilations", [1] * rank))
    pads, mode = _padding(c, kernel), c.get("auto_pad", "NOTSET")
    if mode == "VALID":
        pads = ((0, 0),) * rank
    elif mode != "NOTSET":
        axes = zip(spatial, kernel, stride, dilation, strict=True)
        missing = [
            max((-(-extent // step) - 1) * step + spread * (size - 1) + 1 - extent, 0)
            for extent, size, step, spread in axes
        ]
        pads = tuple(_shared(amount, mode) for amount in missing)
    return w.Geometry(stride, pads, dilation, c.get("group", 1))


def _padding(c: Call, kernel: Sequence[int]) -> Pads:
    """What a node says of padding, which its other attributes must not contradict."""
    rank = len(kernel)
    given = c.get("pads", [0] * (2 * rank))
    if len(given) != 2 * rank or min(given, default=0) < 0:
        raise InexpressibleError(f"padding of {list(given)} where {2 * rank} amounts are needed")
    if any(given) and c.get("auto_pad", "NOTSET") != "NOTSET":
        raise InexpressibleError("padding beside an `auto_pad`")
    said = c.get("kernel_shape", None)
    if said is not None and list(said) != list(kernel):
        raise InexpressibleError(f"a `kernel_shape` of {list(said)} for a kernel of {list(kernel)}")
    return tuple((given[i], given[rank + i]) for i in range(rank))


def _shared(amount: int, mode: str) -> tuple[int, int]:
    small, large = amount // 2, amount - amount // 2
    return (small, large) if mode == "SAME_UPPER" else (large, small)


def _conv(c: Call) -> Value:
    kernel = c.stored(1, "a kernel")
    groups, (outputs, inputs) = c.get("group", 1), kernel.shape[:2]
    if groups < 1 or outputs % groups or c.x.shape[1] != inputs * groups:
        channels = f"{c.x.shape[1]} channels by a kernel of shape {kernel.shape}"
        raise InexpressibleError(f"{channels} in {groups} groups")
    geometry = _geometry(c, c.x.shape[2:], kernel.shape[2:])
    bias, learned = c.optional_stored(2, "a bias"), c.learned_weight()
    return w.convolution(c.b, c.x, kernel, bias, geometry, learned)


def _conv_transpose(c: Call) -> Value:
    kernel = c.stored(1, "a kernel")
    rank = kernel.ndim - 2
    extra = list(c.get("output_padding", [0] * rank))
    stride = tuple(c.get("strides", [1] * rank))
    dilation = tuple(c.get("dilations", [1] * rank))
    mode = c.get("auto_pad", "NOTSET")
    pads = list(_padding(c, kernel.shape[2:]))
    wanted = c.get("output_shape", None)
    if wanted is not None or mode.startswith("SAME"):
        spatial = c.x.shape[2:]
        targets = wanted or [i * s for i, s in zip(spatial, stride, strict=True)]
        for axis in range(rank):
            reach = dilation[axis] * (kernel.shape[2 + axis] - 1) + 1
            whole = stride[axis] * (spatial[axis] - 1) + extra[axis] + reach
            surplus = max(whole - targets[axis], 0)
            extra[axis] += max(targets[axis] - whole, 0)
            half = surplus // 2
            pads[axis] = (half, surplus - half) if mode == "SAME_UPPER" else (surplus - half, half)
    geometry = w.Geometry(stride, tuple(pads), dilation, c.get("group", 1))
    bias = c.optional_stored(2, "a bias")
    learned = c.learned_weight()
    return w.transposed_convolution(c.b, c.x, kernel, bias, geometry, extra, learned)


def _window(c: Call) -> tuple[list[int], w.Geometry, w.Geometry]:
    """The kernel, the geometry as given, and the one with `ceil_mode` worked out."""
    kernel = [int(k) for k in c.attributes["kernel_shape"]]
    spatial = c.x.shape[2:]
    given = _geometry(c, spatial, kernel)
    if any(max(pair) >= size for pair, size in zip(given.pads, kernel, strict=True)):
        raise InexpressibleError(f"padding of {list(given.pads)} around windows of {kernel}")
    if not c.get("ceil_mode", 0):
        return kernel, given, given
    pads = tuple(w.ceil_pads(spatial, kernel, given))
    return kernel, given, w.Geometry(given.stride, pads, given.dilation)


def _max_pool(c: Call) -> list[Value | None]:
    kernel, _, geometry = _window(c)
    return [w.max_pool(c.b, c.x, kernel, geometry), None]


def _average_pool(c: Call) -> Value:
    kernel, given, geometry = _window(c)
    none: Pads = ((0, 0),) * len(kernel)
    counted = given.pads if c.get("count_include_pad", 0) else none
    if set(geometry.dilation) == {1}:
        return w.average_pool(c.b, c.x, kernel, geometry, counted)
    total, cells = _dilated_sum(c, c.x, kernel, geometry, counted)
    return e.mul(c.b, total, c.b.const(1.0 / cells))


def _dilated_sum(
    c: Call, x: Value, kernel: Sequence[int], geometry: w.Geometry, counted: Pads
) -> tuple[Value, Array]:
    """Sums of windows with gaps, by a matrix along each axis, and how many cells each counts."""
    cells: Array = np.ones(())
    for axis, size in enumerate(kernel):
        extent, (before, after) = x.shape[2 + axis], geometry.pads[axis]
        step = geometry.dilation[axis]
        last = extent + after - step * (size - 1)
        c.b.budget.spend_for_a_while(3 * len(range(-before, last, geometry.stride[axis])) * extent)
        c.b.budget.spend_for_a_while(size * len(range(-before, last, geometry.stride[axis])))
        starts = np.arange(-before, last, geometry.stride[axis])
        columns = starts[:, None] + step * np.arange(size)
        matrix = np.zeros((len(starts), extent))
        inside = (columns >= 0) & (columns < extent)
        matrix[np.nonzero(inside)[0], columns[inside]] = 1.0
        x = apply_matrix(c.b, x, 2 + axis, matrix)
        low, high = counted[axis]
        here = (columns >= -low) & (columns < extent + high)
        c.b.budget.spend_for_a_while(cells.size * len(here))
        cells = np.multiply.outer(cells, here.sum(axis=1).astype(np.float64))
    return x, cells


def _lp_pool(c: Call) -> Value:
    kernel, _, geometry = _window(c)
    order = float(c.get("p", 2))
    powers = power(c.b, c.b.node(Abs(), c.x), order)
    total, _ = _dilated_sum(c, powers, kernel, geometry, geometry.pads)
    return power(c.b, total, 1.0 / order)


def _spatial(c: Call) -> list[int]:
    return list(range(2, c.x.rank))


def _global_lp_pool(c: Call) -> Value:
    order = float(c.get("p", 2))
    size = power(c.b, c.b.node(Abs(), c.x), order)
    return power(c.b, r.total(c.b, size, _spatial(c), True), 1.0 / order)


def _batch_norm(c: Call) -> Value:
    if c.get("training_mode", 0):
        raise InexpressibleError("batch norm in training mode")
    if not c.get("spatial", 1):
        raise InexpressibleError("statistics for each position (`spatial=0`)")
    gamma, beta, mean, var = (c.stored(i, "a statistic") for i in range(1, 5))
    eps, learned = c.get("epsilon", 1e-5), c.learned_affine()
    return n.batch_norm(c.b, c.x, 1, gamma, beta, (mean, var), eps, learned)


def _instance_norm(c: Call) -> Value:
    groups = c.x.shape[1]
    return n.group_norm(c.b, c.x, groups, c.value(1), c.value(2), c.get("epsilon", 1e-5))


def _layer_norm(c: Call) -> list[Value | None]:
    axis = axis_of(c.get("axis", -1), c.x.rank)
    eps = c.get("epsilon", 1e-5)
    normalized = c.x.shape[axis:]
    fits = c.is_constant(1) and c.array(1, "a scale").shape == normalized
    if fits and c.is_trainable(1) and (not c.has(2) or c.is_constant(2)):
        beta = c.optional_stored(2, "a shift")
        if beta is None or beta.shape == normalized:
            gamma = c.stored(1, "a scale")
            whole = n.layer_norm(c.b, c.x, axis, gamma, beta, eps, c.learned_affine())
            return [whole, *_statistics(c, axis, eps)]
    y = e.mul(c.b, n.standardized(c.b, c.x, range(axis, c.x.rank), eps), c.value(1))
    return [e.add(c.b, y, c.value(2)) if c.has(2) else y, *_statistics(c, axis, eps)]


def _statistics(c: Call, axis: int, eps: float) -> list[Value]:
    """Mean and reciprocal deviation, where the node has them as outputs."""
    if len(c.outputs) < 2:
        return []
    axes = range(axis, c.x.rank)
    variance = r.variance(c.b, c.x, axes, True)
    return [r.mean(c.b, c.x, axes, True), e.rsqrt(c.b, e.shifted(c.b, variance, eps))]


_SCALE_BY_CHANNEL = 21


def _group_norm(c: Call) -> Value:
    groups, channels = c.get("num_groups", 1), c.x.shape[1]
    gamma, beta = c.value(1), c.value(2)
    if c.version < _SCALE_BY_CHANNEL:
        gamma, beta = (_per_channel(c, part, channels // groups) for part in (gamma, beta))
    return n.group_norm(c.b, c.x, groups, gamma, beta, c.get("epsilon", 1e-5))


def _per_channel(c: Call, x: Value, count: int) -> Value:
    return repeat_entries(c.b, x, 0, count)


def _rms_norm(c: Call) -> Value:
    axes = range(axis_of(c.get("axis", -1), c.x.rank), c.x.rank)
    return n.rms_norm(c.b, c.x, axes, c.value(1), c.get("epsilon", 1e-5))


def _mean_variance_norm(c: Call) -> Value:
    """What is left of the mean by the deviation, to which the standard adds its epsilon."""
    axes = c.get("axes", [0, 2, 3])
    centred = e.sub(c.b, c.x, r.mean(c.b, c.x, axes, True))
    deviation = c.b.node(Sqrt(), r.mean(c.b, e.square(c.b, centred), axes, True))
    return e.div(c.b, centred, e.shifted(c.b, deviation, 1e-9))


def _lp_normalization(c: Call) -> Value:
    axis = c.get("axis", -1)
    size = r.norm(c.b, c.x, float(c.get("p", 2)), [axis], True)
    # A slice of zeros stays zeros.
    return e.div(c.b, c.x, e.clamp(c.b, size, float(np.finfo(np.float32).tiny), None))


def _local_response_norm(c: Call) -> Value:
    size, channels = c.attributes["size"], c.x.shape[1]
    before = (size - 1) // 2
    c.b.budget.spend_for_a_while(channels**2)
    band: Array = np.zeros((channels, channels))
    for row in range(channels):
        band[row, max(row - before, 0) : row + size - before] = 1.0
    sums = apply_matrix(c.b, e.square(c.b, c.x), 1, band)
    scaled = e.scaled(c.b, sums, c.get("alpha", 1e-4) / size)
    base = e.shifted(c.b, scaled, c.get("bias", 1.0))
    return e.mul(c.b, c.x, power(c.b, base, -c.get("beta", 0.75)))


OPS: dict[str, Handler] = {
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "GlobalAveragePool": lambda c: r.mean(c.b, c.x, _spatial(c), True),
    "GlobalLpPool": _global_lp_pool,
    "GlobalMaxPool": lambda c: r.largest(c.b, c.x, _spatial(c), True),
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _instance_norm,
    "LRN": _local_response_norm,
    "LayerNormalization": _layer_norm,
    "LpNormalization": _lp_normalization,
    "LpPool": _lp_pool,
    "MaxPool": _max_pool,
    "MeanVarianceNormalization": _mean_variance_norm,
    "RMSNormalization": _rms_norm,
}
"""By op type."""
