"""Numbers as source text: the shortest decimals that give the exact values back."""

from __future__ import annotations

from decimal import Decimal
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from hatch_irpytorch.ir.graph import Array

CARRIERS: dict[str, np.dtype[np.floating[Any]]] = {
    "float64": np.dtype(np.float64),
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(np.float32),
}
"""The NumPy dtype that holds the values of each dtype exactly."""

POSITIONAL_FROM = 1e-6
"""Smaller values have an exponent, as Python's `repr` gives one from 1e-4 down."""

_BFLOAT16_DROPPED = 16
_BFLOAT16_DIGITS = 4


def rounded(array: Array, dtype: str) -> Array:
    """The values of `array` rounded to `dtype`, in its carrier. NaN becomes the canonical one.

    An array whose dtype is its carrier already is returned as it is, a bfloat16 one rounded again.
    """
    carrier = CARRIERS[dtype]
    with np.errstate(over="ignore"):
        if dtype == "bfloat16":
            return _to_bfloat16(np.asarray(array, dtype=np.float64)).astype(carrier)
        return array if array.dtype == carrier else array.astype(carrier)


def _to_bfloat16(values: Array) -> Array:
    """Round once, to nearest even: by way of float32 rounded to odd."""
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    bits = single.view(np.uint32).copy()
    inexact = (single.astype(np.float64) != values) & np.isfinite(single) & np.isfinite(values)
    away = np.abs(single.astype(np.float64)) > np.abs(values)
    bits = np.where(inexact & away, bits - np.uint32(1), bits)
    bits = np.where(inexact, bits | np.uint32(1), bits)
    overflown = np.isinf(single) & np.isfinite(values)
    finite = np.isfinite(single)
    even = (bits >> np.uint32(_BFLOAT16_DROPPED)) & np.uint32(1)
    up = np.where(finite, bits + np.uint32(0x7FFF) + even, bits)
    result = (up & np.uint32(0xFFFF0000)).view(np.float32).astype(np.float64)
    result = np.where(np.isnan(values), np.nan, result)
    return np.where(overflown, np.copysign(np.inf, values), result)


def decimals(array: Array, dtype: str) -> list[str]:
    """The entries in row-major order, each as the shortest decimal that gives the value back.

    A module parses them to binary64, rounds that to float32 and that to a narrower dtype; the
    decimals survive this way. The layout is Python's `repr`, without an exponent from 1e-6 up.
    """
    target = np.asarray(rounded(array, dtype), dtype=np.float64).reshape(-1)
    short: Array
    if dtype == "float64":
        short = target
    elif dtype == "bfloat16":
        short = _shortest_bfloat16(target)
    else:
        short = target.astype(dtype).astype("U32").astype(np.float64)
    read_back = _as_a_module_reads(short, dtype)
    same = (read_back == target) & (np.signbit(read_back) == np.signbit(target))
    exact = np.where(same | np.isnan(target), short, target)
    return [_laid_out(value) for value in exact.tolist()]


def _laid_out(value: float) -> str:
    if POSITIONAL_FROM <= abs(value) < 1e-4:
        return f"{Decimal(repr(value)):f}"
    return repr(value)


def _as_a_module_reads(values: Array, dtype: str) -> Array:
    if dtype == "float64":
        return values
    with np.errstate(over="ignore"):
        return np.asarray(rounded(values.astype(np.float32), dtype), dtype=np.float64)


def _shortest_bfloat16(values: Array) -> Array:
    """The shortest decimals of bfloat16 values; next to a power of 2 they are not the nearest."""
    unique, inverse = np.unique(values, return_inverse=True)
    short = unique.copy()
    pending = np.flatnonzero(np.isfinite(unique) & (unique != 0.0))
    for digits, neighbour in product(range(_BFLOAT16_DIGITS), (0, 1, -1)):
        sought = unique[pending]
        texts = [_scientific(value, digits, neighbour) for value in sought.tolist()]
        found = np.array(texts, dtype=np.float64)
        fits = _as_a_module_reads(found, "bfloat16") == sought
        short[pending[fits]] = found[fits]
        pending = pending[~fits]
    return np.copysign(short[inverse.reshape(-1)], values)


def _scientific(value: float, digits: int, neighbour: int) -> str:
    """A value with so many digits after the point, or the next such decimal on one side."""
    exponent = int(f"{value:.17e}".partition("e")[2])
    return f"{value + neighbour * 10.0 ** (exponent - digits):.{digits}e}"
