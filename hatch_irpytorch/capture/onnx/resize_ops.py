"""ONNX ops that change extents by interpolation: a copy, a choice or a matrix along each axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hatch_irpytorch.capture.builder import InexpressibleError, Value
from hatch_irpytorch.capture.onnx.interpolation import (
    NEAREST,
    POSITIONS,
    Resizing,
    Rule,
    Single,
    nearest_entries,
    reach,
    rounded_extent,
    scaled_extent,
    weights,
)
from hatch_irpytorch.capture.onnx.tensors import Call, axis_of
from hatch_irpytorch.capture.selections.cuts import repeat_entries
from hatch_irpytorch.capture.selections.matrices import apply_matrix
from hatch_irpytorch.capture.selections.selection import take
from hatch_irpytorch.ir.shapes import numel

Handler = Callable[[Call], Any]

_POLICIES = {"not_larger": min, "not_smaller": max}


def _resize(c: Call) -> Value:
    x, rule = c.x, _rule(c)
    axes = _axes(c)
    shape = list(x.shape)
    for number, axis in axes.items():
        shape[number] = axis.wanted
        if axis.wanted and not axis.extent:
            raise InexpressibleError(f"a resize of an empty axis to {axis.wanted} entries")
    if tuple(shape) == x.shape:
        return x
    if not numel(tuple(shape)):
        return c.b.full(tuple(shape), 0.0)
    for number, axis in axes.items():
        copied = rule.antialias and axis.wanted == axis.extent
        if axis.scale != 1 and not copied:
            x = _resized(c, x, number, axis, rule)
    return x


def _rule(c: Call) -> Rule:
    """What the attributes say; there are few of them before opset 11."""
    if _is_old(c):
        return Rule(_one_of(c, "mode", "nearest", _MODES), "asymmetric", "", 0.0, False, False)
    rule = Rule(
        _one_of(c, "mode", "nearest", _MODES),
        _one_of(c, "coordinate_transformation_mode", "half_pixel", tuple(POSITIONS)),
        _one_of(c, "nearest_mode", "round_prefer_floor", tuple(NEAREST)),
        float(c.get("cubic_coeff_a", -0.75)),
        bool(c.get("exclude_outside", 0)),
        bool(c.get("antialias", 0)),
    )
    if rule.antialias and rule.mode == "nearest":
        raise InexpressibleError("`antialias` with the mode `nearest`")
    if rule.exclude_outside and rule.mode != "cubic" and not rule.antialias:
        raise InexpressibleError(f"`exclude_outside` with the mode `{rule.mode}`")
    c.get("extrapolation_value", 0.0)  # of `tf_crop_and_resize` alone
    return rule


_MODES = ("nearest", "linear", "cubic")


def _one_of(c: Call, attribute: str, default: str, known: tuple[str, ...]) -> str:
    found: str = c.get(attribute, default)
    if found not in known:
        raise InexpressibleError(f"a resize whose `{attribute}` is `{found}`")
    return found


def _is_old(c: Call) -> bool:
    return c.op == "Upsample" or c.version < 11


def _axes(c: Call) -> dict[int, Resizing]:
    """The axes that a node names, each with its scale and its new extent."""
    shape = c.x.shape
    numbers = [axis_of(axis, len(shape)) for axis in c.get("axes", range(len(shape)))]
    if len(set(numbers)) < len(numbers):
        raise InexpressibleError("a resize of an axis that is given twice")
    extents = [shape[number] for number in numbers]
    policy = _one_of(c, "keep_aspect_ratio_policy", "stretch", ("stretch", *_POLICIES))
    scales, sizes = _scales(c), None if _is_old(c) else _tensor(c, 3, "a size")
    given = sizes if scales is None else scales
    if given is None or (scales is not None and sizes is not None):
        raise InexpressibleError("a resize without exactly one of scales and sizes")
    if given.shape != (len(numbers),):
        raise InexpressibleError(f"a resize of {len(numbers)} axes by {given.size} numbers")
    if scales is not None:
        found = [_scale(c, value) for value in scales]
        wanted = [scaled_extent(n, scale) for n, scale in zip(extents, found, strict=True)]
    else:
        wanted = [int(size) for size in given]
        if min(wanted, default=0) < 0:
            raise InexpressibleError(f"a resize to an extent of {min(wanted)}")
        pairs = list(zip(extents, wanted, strict=True))
        found = [Single(size) / Single(n) if n else Single(1) for n, size in pairs]
        if policy in _POLICIES:
            found = [_POLICIES[policy](found)] * len(found)
            wanted = [rounded_extent(n, scale) for n, scale in zip(extents, found, strict=True)]
    parts = zip(extents, wanted, found, strict=True)
    return dict(zip(numbers, (Resizing(*part) for part in parts), strict=True))


def _scales(c: Call) -> np.ndarray[Any, np.dtype[Any]] | None:
    """They are an attribute of the oldest `Upsample`."""
    if "scales" in c.attributes:
        return np.array(c.attributes["scales"], dtype=Single)
    return _tensor(c, 1 if _is_old(c) else 2, "a scale")


def _tensor(c: Call, position: int, what: str) -> np.ndarray[Any, np.dtype[Any]] | None:
    """An input; an empty tensor is none."""
    array = c.array(position, what) if c.has(position) else None
    return array if array is not None and array.size else None


def _scale(c: Call, value: float) -> Single:
    least = 1 if c.op == "Upsample" else 0
    if not np.isfinite(value) or value < least or not value:
        bound = "of 1 or more" if least else "above 0"
        raise InexpressibleError(f"a scale of {float(value):g} where one {bound} is needed")
    return Single(value)


def _resized(c: Call, x: Value, number: int, axis: Resizing, rule: Rule) -> Value:
    c.b.budget.spend_for_a_while(axis.wanted)
    if rule.mode == "nearest":
        chosen = nearest_entries(rule, axis)
    else:
        c.b.budget.spend_for_a_while(axis.wanted * (axis.extent + 8 * reach(rule, axis)))
        matrix = weights(rule, axis)
        if np.count_nonzero(matrix) != len(matrix) or not (matrix.max(axis=1) == 1).all():
            return apply_matrix(c.b, x, number, matrix)
        chosen = matrix.argmax(axis=1)
    factor = axis.wanted // axis.extent
    if np.array_equal(chosen, np.repeat(np.arange(axis.extent), factor)):
        return repeat_entries(c.b, x, number, factor)
    return take(c.b, x, number, chosen)


OPS: dict[str, Handler] = {
    "Resize": _resize,
    "Upsample": _resize,
}
"""By op type."""
