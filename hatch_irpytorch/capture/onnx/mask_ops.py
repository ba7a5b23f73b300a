"""ONNX ops that ask for NaN and infinities: where a mask blocks a whole row of a softmax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hatch_irpytorch.capture.builder import InexpressibleError
from hatch_irpytorch.capture.layers.masks import infinite, not_a_number
from hatch_irpytorch.capture.onnx.tensors import Call


def _is_nan(c: Call) -> Any:
    found = not_a_number(c.b, c.x)
    if found is None:
        raise InexpressibleError("it asks of values that nothing bounds")
    return found


def _is_infinite(c: Call) -> Any:
    c.get("detect_negative", 1)
    c.get("detect_positive", 1)
    found = infinite(c.b, c.x)
    if found is None:
        raise InexpressibleError("it asks of values that nothing bounds")
    return found


OPS: dict[str, Callable[[Call], Any]] = {"IsInf": _is_infinite, "IsNaN": _is_nan}
"""By op type."""
