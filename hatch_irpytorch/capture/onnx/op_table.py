"""Every ONNX op that has a form, and what is passed over of any of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx

from hatch_irpytorch.capture.builder import InexpressibleError
from hatch_irpytorch.capture.onnx import (
    comparison_ops,
    control_ops,
    elementwise_ops,
    image_ops,
    layer_ops,
    mask_ops,
    movement_ops,
    recurrent_ops,
    reduction_ops,
    resize_ops,
    rounding_ops,
    signal_ops,
    unit_ops,
    writing_ops,
)
from hatch_irpytorch.capture.onnx.tensors import Call

OPS = {
    **elementwise_ops.OPS,
    **comparison_ops.OPS,
    **movement_ops.OPS,
    **writing_ops.OPS,
    **reduction_ops.OPS,
    **layer_ops.OPS,
    **image_ops.OPS,
    **signal_ops.OPS,
    **unit_ops.OPS,
    **mask_ops.OPS,
    **recurrent_ops.OPS,
    **resize_ops.OPS,
    **rounding_ops.OPS,
    **control_ops.OPS,
}
"""Every ONNX op that has a form, by type."""

WITHOUT_EFFECT = frozenset(
    {
        *("kernel_shape", "storage_order", "momentum", "consumed_inputs"),
        *("ratio", "seed", "is_test", "stash_type", "saturate", "round_mode"),
    }
)
"""Attributes that repeat a shape, or say what only training, other outputs or speed depend on."""

DRAWING = frozenset(
    {
        *("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform"),
        "RandomUniformLike",
    }
)
"""Ops whose result is no constant although their inputs are."""


def is_standard(node: onnx.NodeProto) -> bool:
    """Whether an op is one of the standard's own."""
    return node.domain in ("", "ai.onnx")


def runs_graphs(node: onnx.NodeProto) -> bool:
    """Whether a node chooses among graphs inside it, or repeats one."""
    return is_standard(node) and node.op_type in control_ops.OPS


def handled(handler: Callable[[Call], Any], call: Call) -> list[Any]:
    """What a handler makes of a call. Raises `InexpressibleError` for what it does not look at."""
    result = handler(call)
    unseen = set(call.attributes.unseen()) - WITHOUT_EFFECT
    if unseen:
        raise InexpressibleError(f"its attribute `{min(unseen)}`")
    return list(result) if isinstance(result, list | tuple) else [result]
