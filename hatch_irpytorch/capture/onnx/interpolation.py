"""Which entries of an axis a resized one is made of, in the arithmetic of ONNX Runtime.

Positions are float32, as they are there: one that rounding moves over a half is another entry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hatch_irpytorch.capture.builder import InexpressibleError
from hatch_irpytorch.capture.onnx.tensors import Array

Single = np.float32
Singles = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
Integers = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
Position = Callable[[Singles, Single, Single, Single], Singles]
"""Where the entries lie in the old axis: of their index, the scale, the extent and the new one."""

_HALF, _ONE = Single(0.5), Single(1)


@dataclass(frozen=True)
class Rule:
    """What a node says of the way from old entries to new ones."""

    mode: str
    position: str
    nearest: str
    cubic_coefficient: float
    exclude_outside: bool
    antialias: bool


@dataclass(frozen=True)
class Resizing:
    """One axis: its extent, the one it gets, and the scale, which need not be their quotient."""

    extent: int
    wanted: int
    scale: Single


def scaled_extent(extent: int, scale: Single) -> int:
    """The extent that a scale gives."""
    return int(Single(extent) * scale)


def rounded_extent(extent: int, scale: Single) -> int:
    """The extent that a scale gives where an aspect ratio is kept."""
    return int(np.floor(float(Single(extent) * scale) + 0.5))


def _symmetric(i: Singles, scale: Single, extent: Single, wanted: Single) -> Singles:
    offset = extent / Single(2) * (_ONE - wanted / (scale * extent))
    exact = np.float64(offset) + (i.astype(np.float64) + 0.5) / np.float64(scale) - 0.5
    return exact.astype(Single)


POSITIONS: dict[str, Position] = {
    "align_corners": lambda i, _, n, m: i * (n - _ONE) / max(m - _ONE, _ONE),
    "asymmetric": lambda i, scale, n, m: i / scale,
    "half_pixel": lambda i, scale, n, m: (i + _HALF) / scale - _HALF,
    "half_pixel_symmetric": _symmetric,
    "pytorch_half_pixel": lambda i, scale, n, m: ((i + _HALF) / scale - _HALF) * Single(m > 1),
    "tf_half_pixel_for_nn": lambda i, scale, n, m: (i + _HALF) / scale,
}
"""By `coordinate_transformation_mode`."""

TIE = 1e-6
"""How far from a half a position may be and count as one: rounding has moved it there."""

NEAREST: dict[str, Callable[[Array, bool], Any]] = {
    "ceil": lambda x, _: np.ceil(x),
    "floor": lambda x, _: np.floor(x),
    "round_prefer_ceil": lambda x, _: np.floor(x + 0.5 + TIE),
    "round_prefer_floor": lambda x, _: np.ceil(x - 0.5 - TIE),
    # Before opset 11, where no attribute says it.
    "": lambda x, shrinks: np.ceil(x) if shrinks else np.floor(x),
}
"""By `nearest_mode`: the entry for a position, on an axis that shrinks or does not."""


def _positions(rule: Rule, axis: Resizing) -> Singles:
    indices = np.arange(axis.wanted).astype(Single)
    if axis.scale == 1:
        return indices
    find = POSITIONS[rule.position]
    return find(indices, axis.scale, Single(axis.extent), Single(axis.wanted))


def nearest_entries(rule: Rule, axis: Resizing) -> Integers:
    """The entry that each new one is."""
    found = NEAREST[rule.nearest](_positions(rule, axis).astype(np.float64), bool(axis.scale < 1))
    chosen: Integers = np.clip(found, 0, axis.extent - 1).astype(np.int64)
    return chosen


def weights(rule: Rule, axis: Resizing) -> Array:
    """The matrix whose rows weigh the entries that a new one is made of.

    Raises `InexpressibleError` where all of them are excluded.
    """
    positions = _positions(rule, axis).astype(np.float64)
    if rule.antialias:
        entries, weight = _filtered(rule, axis, positions)
    elif rule.mode == "linear":
        positions = np.clip(positions, 0, axis.extent - 1)
        entries = np.floor(positions)[:, None] + np.arange(2)
        weight = _tent(entries - positions[:, None], rule)
    else:
        entries = np.floor(positions)[:, None] + np.arange(-1, 3)
        weight = _cubic(entries - positions[:, None], rule)
    if rule.exclude_outside:
        weight = np.where((entries >= 0) & (entries < axis.extent), weight, 0.0)
    if rule.exclude_outside or rule.antialias:
        total = weight.sum(axis=1, keepdims=True)
        if not total.all():
            raise InexpressibleError("a resize whose weights sum up to 0")
        weight = weight / total
    matrix = np.zeros((axis.wanted, axis.extent))
    columns = np.clip(entries, 0, axis.extent - 1).astype(np.int64)
    np.add.at(matrix, (np.arange(axis.wanted)[:, None], columns), weight)
    return matrix


def reach(rule: Rule, axis: Resizing) -> int:
    """How many entries are weighed for a new one."""
    return 2 * int(np.ceil(_support(rule, axis))) + 1 if rule.antialias else 4


def _support(rule: Rule, axis: Resizing) -> float:
    return (1.0 if rule.mode == "linear" else 2.0) * max(float(_ONE / axis.scale), 1.0)


def _filtered(rule: Rule, axis: Resizing, positions: Array) -> tuple[Array, Array]:
    """A kernel that is as wide as the step from one new entry to the next, cut at its support."""
    support = _support(rule, axis)
    center = positions[:, None] + 0.5
    entries = np.floor(center - support + 0.5) + np.arange(reach(rule, axis), dtype=np.float64)
    kernel = _tent if rule.mode == "linear" else _cubic
    weight = kernel((entries - center + 0.5) * min(float(axis.scale), 1.0), rule)
    return entries, np.where(entries < np.floor(center + support + 0.5), weight, 0.0)


def _tent(distance: Array, rule: Rule) -> Array:
    return np.maximum(1.0 - np.abs(distance), 0.0)


def _cubic(distance: Array, rule: Rule) -> Array:
    a, x = rule.cubic_coefficient, np.abs(distance)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = a * (((x - 5) * x + 8) * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
