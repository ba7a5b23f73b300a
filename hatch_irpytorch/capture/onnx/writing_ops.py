"""ONNX ops that write a tensor, in order, to constant places of another."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hatch_irpytorch.capture.builder import InexpressibleError, Value
from hatch_irpytorch.capture.onnx.tensors import Call, axis_of
from hatch_irpytorch.capture.selections.replacing import placed, scatter
from hatch_irpytorch.ir.shapes import numel


def _tensor_scatter(c: Call) -> Value:
    """Each sample of the updates from a place of its own along one axis on."""
    x, updates = c.value(0), c.value(1)
    axis = axis_of(c.get("axis", -2), x.rank)
    extent, count = x.shape[axis], updates.shape[axis]
    if not axis or updates.shape != (*x.shape[:axis], count, *x.shape[axis + 1 :]):
        message = f"updates of {updates.shape} along axis {axis} of a tensor of {x.shape}"
        raise InexpressibleError(message)
    starts = c.ints(2, "a place") if c.has(2) else [0] * x.shape[0]
    places = np.array(starts)[:, None] + np.arange(count)
    if c.get("mode", "linear") == "circular":
        places %= max(extent, 1)
    if places.shape[0] != x.shape[0] or not ((places >= 0) & (places < extent)).all():
        raise InexpressibleError(f"{count} entries from {starts} on, in an axis of {extent}")
    c.b.budget.spend_for_a_while(numel(x.shape))
    grid = np.arange(numel(x.shape)).reshape(x.shape)
    lead = places.reshape(x.shape[0], *[1] * (axis - 1), count, *[1] * (x.rank - axis - 1))
    return scatter(c.b, x, np.take_along_axis(grid, lead, axis), updates)


def _max_unpool(c: Call) -> Value:
    """The entries at the flat places of the larger tensor that they were pooled from, else 0."""
    kernel = c.attributes["kernel_shape"]
    rank = len(kernel)
    strides, pads = c.get("strides", [1] * rank), c.get("pads", [0] * 2 * rank)
    spatial = [
        (extent - 1) * step + size - before - after
        for extent, step, size, before, after in zip(
            c.x.shape[2:], strides, kernel, pads[:rank], pads[rank:], strict=True
        )
    ]
    shape = (*c.x.shape[:2], *spatial)
    if c.has(2) and tuple(c.ints(2, "a shape")) != shape:
        # By the standard places count in the shape that follows, by ONNX Runtime in the given one.
        raise InexpressibleError(f"another shape than {shape}, in which places have two meanings")
    return placed(c.b, c.array(1, "a place").astype(np.int64), c.x, shape)


OPS: dict[str, Callable[[Call], Value]] = {
    "MaxUnpool": _max_unpool,
    "TensorScatter": _tensor_scatter,
}
"""By op type."""
