"""ONNX ops on numbers of the file that no graph computes exactly: NumPy does, in their own type.

Rounding, comparing, choosing by size, making numbers of nothing, and functions whose graphs end
where theirs do not (a logarithm of 0, a quotient by 0).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from hatch_irpytorch.capture.builder import InexpressibleError
from hatch_irpytorch.capture.onnx.quantization import dequantized, quantized
from hatch_irpytorch.capture.onnx.tensors import Call, Constant, axis_of
from hatch_irpytorch.capture.onnx.unit_ops import eye_like

Handler = Callable[[Call], Any]


def _array(c: Call, position: int) -> Constant:
    return c.array(position, "an input")


def _entries(function: Callable[[Constant], Any]) -> Handler:
    return lambda c: function(_array(c, 0))


def _pairs(function: Callable[[Constant, Constant], Any]) -> Handler:
    return lambda c: function(_array(c, 0), _array(c, 1))


def _constant(c: Call) -> Constant:
    """Numbers that stand in the node itself."""
    if "value" in c.attributes:
        stored: Constant = onnx.numpy_helper.to_array(c.attributes["value"])
        return stored
    for name, kind in (("value_float", np.float32), ("value_int", np.int64)):
        for attribute in (name, f"{name}s"):
            if attribute in c.attributes:
                return np.asarray(c.attributes[attribute], dtype=kind)
    text = c.attributes["value_strings" if "value_strings" in c.attributes else "value_string"]
    return np.array(text, dtype=object)


def _constant_of_shape(c: Call) -> Constant:
    value = c.get("value", None)
    number = np.zeros(1, np.float32) if value is None else onnx.numpy_helper.to_array(value)
    return np.full(tuple(c.ints(0, "an extent")), number.reshape(()), dtype=number.dtype)


def _range(c: Call) -> Constant:
    start, limit, delta = (_array(c, i).reshape(()) for i in range(3))
    count = max(math.ceil((float(limit) - float(start)) / float(delta)), 0)
    made: Constant = start + np.arange(count).astype(start.dtype) * delta
    return made


def _one_hot(c: Call) -> Constant:
    indices, (off, on) = _array(c, 0).astype(np.int64), _array(c, 2)
    depth = int(_array(c, 1).reshape(()))
    axis = axis_of(c.get("axis", -1), indices.ndim + 1)
    wrapped = np.expand_dims(np.where(indices < 0, indices + depth, indices), axis)
    places = np.arange(depth).reshape([-1 if i == axis else 1 for i in range(wrapped.ndim)])
    chosen: Constant = np.where(wrapped == places, on, off)
    return chosen


def _type(kind: int) -> np.dtype[Any]:
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind))


def _cast(c: Call) -> Constant | None:
    c.get("saturate", 1)
    return _converted(c, c.attributes["to"])


def _cast_like(c: Call) -> Constant | None:
    return _converted(c, c.kind(1))


def _converted(c: Call, kind: int) -> Constant | None:
    """Numbers in another type, or None where text is read or written."""
    if TensorProto.STRING in (kind, c.kind(0)):
        return None
    return _array(c, 0).astype(_type(kind))


def _is_inf(c: Call) -> Constant:
    x = _array(c, 0)
    found = np.zeros(x.shape, np.bool_)
    if c.get("detect_negative", 1):
        found |= x == -np.inf
    if c.get("detect_positive", 1):
        found |= x == np.inf
    return found


def _extreme(function: Callable[..., Any]) -> Handler:
    def convert(c: Call) -> Constant:
        x = _array(c, 0)
        axis = axis_of(c.get("axis", 0), x.ndim)
        if c.get("select_last_index", 0):
            found = x.shape[axis] - 1 - function(np.flip(x, axis), axis)
        else:
            found = function(x, axis)
        kept = np.expand_dims(found, axis) if c.get("keepdims", 1) else found
        return np.asarray(kept, dtype=np.int64)

    return convert


def _top_k(c: Call) -> list[Constant]:
    x = _array(c, 0)
    axis = axis_of(c.get("axis", -1), x.ndim)
    count = c.attributes["k"] if "k" in c.attributes else int(_array(c, 1).reshape(()))
    if not 0 <= count <= x.shape[axis]:
        raise InexpressibleError(f"the first {count} of an axis of {x.shape[axis]}")
    order = np.argsort(-x if c.get("largest", 1) else x, axis=axis, kind="stable")
    c.get("sorted", 1)
    first = np.take(order, np.arange(count), axis).astype(np.int64)
    return [np.take_along_axis(x, first, axis), first]


def _non_zero(c: Call) -> Constant:
    return np.array(np.nonzero(_array(c, 0)), dtype=np.int64)


def _mod(c: Call) -> Constant:
    return (np.fmod if c.get("fmod", 0) else np.mod)(_array(c, 0), _array(c, 1))


def _gather_elements(c: Call) -> Constant:
    x, indices = _array(c, 0), _array(c, 1)
    axis = axis_of(c.get("axis", 0), x.ndim)
    extent = x.shape[axis]
    if indices.size and not -extent <= indices.min() <= indices.max() < extent:
        raise InexpressibleError(f"positions beyond an axis of {extent}")
    cut = tuple(slice(None) if i == axis else slice(n) for i, n in enumerate(indices.shape))
    return np.take_along_axis(x[cut], np.where(indices < 0, indices + extent, indices), axis)


def _erf(x: Constant) -> Constant:
    return np.array([math.erf(v) for v in x.reshape(-1).tolist()], x.dtype).reshape(x.shape)


REAL_OPS: dict[str, Handler] = {
    "Acos": _entries(np.arccos),
    "Acosh": _entries(np.arccosh),
    "Asin": _entries(np.arcsin),
    "Asinh": _entries(np.arcsinh),
    "Atan": _entries(np.arctan),
    "Atanh": _entries(np.arctanh),
    "Ceil": _entries(np.ceil),
    "Div": _pairs(np.divide),
    "Erf": _entries(_erf),
    "Floor": _entries(np.floor),
    "IsInf": _is_inf,
    "IsNaN": _entries(np.isnan),
    "Log": _entries(np.log),
    "Mod": _mod,
    "Pow": _pairs(lambda x, y: np.power(x, y.astype(x.dtype))),
    "Reciprocal": _entries(np.reciprocal),
    "Round": _entries(np.rint),
    "Sign": _entries(np.sign),
    "Sqrt": _entries(np.sqrt),
    "Tan": _entries(np.tan),
}
"""By op type: for real numbers."""

ANY_OPS: dict[str, Handler] = {
    "ArgMax": _extreme(np.argmax),
    "ArgMin": _extreme(np.argmin),
    "Cast": _cast,
    "CastLike": _cast_like,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "DequantizeLinear": dequantized,
    "Equal": _pairs(np.equal),
    "EyeLike": eye_like,
    "GatherElements": _gather_elements,
    "Greater": _pairs(np.greater),
    "GreaterOrEqual": _pairs(np.greater_equal),
    "Less": _pairs(np.less),
    "LessOrEqual": _pairs(np.less_equal),
    "NonZero": _non_zero,
    "OneHot": _one_hot,
    "QuantizeLinear": quantized,
    "Range": _range,
    "TopK": _top_k,
}
"""By op type: for numbers of every type."""
