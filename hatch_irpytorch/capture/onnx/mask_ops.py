"""ONNX ops that ask whether a softmax is NaN: where a mask blocks a whole row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hatch_irpytorch.capture.builder import InexpressibleError
from hatch_irpytorch.capture.layers.masks import not_a_number
from hatch_irpytorch.capture.onnx.tensors import Call


def _is_nan(c: Call) -> Any:
    found = not_a_number(c.b, c.x)
    if found is None:
        raise InexpressibleError("it asks of other values than those of a softmax")
    return found


OPS: dict[str, Callable[[Call], Any]] = {"IsNaN": _is_nan}
"""By op type."""
