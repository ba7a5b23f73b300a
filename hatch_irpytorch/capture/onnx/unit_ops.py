"""ONNX ops that make rows of 0 with a 1 at one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import helper

from hatch_irpytorch.capture.bounds import bounds
from hatch_irpytorch.capture.builder import InexpressibleError, Value
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.capture.entries.integers import MAX_EXACT, one_hot
from hatch_irpytorch.capture.layers.positions import hardmax
from hatch_irpytorch.capture.onnx.reduction_ops import along_axis
from hatch_irpytorch.capture.onnx.tensors import Call, Constant, axis_of


def eye_like(c: Call) -> Constant:
    """A matrix of the shape of the first input, whose numbers it does not ask for."""
    tensor = c.tensor(0)
    rows, columns = tensor.shape
    kind = c.get("dtype", c.kind(0))
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    c.b.budget.spend(entries=rows * columns)
    return np.eye(rows, columns, c.get("k", 0), dtype=dtype)


def _one_hot(c: Call) -> Value:
    """Of whole numbers from 0; one beyond the depth gives a row of `off`."""
    b, ids = c.b, c.x
    depth = int(c.array(1, "a depth").reshape(()))
    off, on = map(float, c.array(2, "a value"))
    axis = axis_of(c.get("axis", -1), ids.rank + 1)
    found = bounds(b, ids)
    if found is None or not 0.0 <= found[0] <= found[1] <= MAX_EXACT:
        raise InexpressibleError("classes that may not be whole, or below 0")
    rows = one_hot(b, ids, depth)
    placed = b.permute(rows, (*range(axis), ids.rank, *range(axis, ids.rank)))
    return e.shifted(b, e.scaled(b, placed, on - off), off)


OPS: dict[str, Callable[[Call], Any]] = {
    "EyeLike": eye_like,
    "Hardmax": along_axis(hardmax),
    "OneHot": _one_hot,
}
"""By op type."""
