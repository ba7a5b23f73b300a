"""Arrays as source text: the shortest decimals that give the exact values back."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from hatch_irpytorch.ir.code import float_literal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

LINE_WIDTH = 88

VALUES_PER_LINE = {"float64": 3, "float32": 5, "float16": 5, "bfloat16": 5}
"""How many values fit into a line whatever they are, so that a value never moves another."""

_BFLOAT16_DROPPED = 16
_BFLOAT16_DIGITS = 4


def rounded(array: Array, dtype: str) -> Array:
    """The values of `array` rounded to `dtype`, still as float64. NaN becomes the canonical one."""
    values = np.asarray(array, dtype=np.float64)
    if dtype == "float64":
        return values
    with np.errstate(over="ignore"):
        if dtype == "bfloat16":
            return _to_bfloat16(values)
        return values.astype(dtype).astype(np.float64)


def _to_bfloat16(values: Array) -> Array:
    """Round once, to nearest even: by way of float32 rounded to odd."""
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

    torch parses a Python float to binary64, rounds it to float32 and that to a narrower dtype;
    the decimals survive this way. The layout is the one of Python's `repr`.
    """
    target = rounded(array, dtype).reshape(-1)
    if dtype == "float64":
        short = target
    elif dtype == "bfloat16":
        short = _shortest_bfloat16(target)
    else:
        short = target.astype(dtype).astype("U32").astype(np.float64)
    read_back = _as_torch_reads(short, dtype)
    same = (read_back == target) & (np.signbit(read_back) == np.signbit(target))
    exact = np.where(same | np.isnan(target), short, target)
    return [float_literal(value) for value in exact.tolist()]


def _as_torch_reads(values: Array, dtype: str) -> Array:
    if dtype == "float64":
        return values
    with np.errstate(over="ignore"):
        return rounded(values.astype(np.float32).astype(np.float64), dtype)


def _shortest_bfloat16(values: Array) -> Array:
    """The shortest decimals of bfloat16 values; next to a power of 2 they are not the nearest."""
    unique, inverse = np.unique(values, return_inverse=True)
    short = unique.copy()
    pending = np.flatnonzero(np.isfinite(unique) & (unique != 0.0))
    for digits, neighbour in product(range(_BFLOAT16_DIGITS), (0, 1, -1)):
        sought = unique[pending]
        texts = [_scientific(value, digits, neighbour) for value in sought.tolist()]
        found = np.array(texts, dtype=np.float64)
        fits = _as_torch_reads(found, "bfloat16") == sought
        short[pending[fits]] = found[fits]
        pending = pending[~fits]
    return np.copysign(short[inverse.reshape(-1)], values)


def _scientific(value: float, digits: int, neighbour: int) -> str:
    """A value with so many digits after the point, or the next such decimal on one side."""
    exponent = int(f"{value:.17e}".partition("e")[2])
    return f"{value + neighbour * 10.0 ** (exponent - digits):.{digits}e}"


def table_lines(texts: list[str], shape: tuple[int, ...], per_line: int) -> list[str]:
    """The lines between the brackets of a table: one row of the last axis a line.

    Rows longer than `per_line` values go on in the next line.
    """
    row = shape[-1] if shape else 1
    lines = []
    for start in range(0, len(texts), row):
        values = texts[start : start + row]
        for first in range(0, row, per_line):
            lines.append("    " + ", ".join(values[first : first + per_line]) + ",")
    return lines


def table(name: str, texts: list[str], shape: tuple[int, ...], per_line: int) -> list[str]:
    """The assignment of a table: on one line when it is a vector that fits, else row by row."""
    one_line = f"{name} = [{', '.join(texts)}]"
    if len(shape) <= 1 and len(texts) <= per_line and len(one_line) <= LINE_WIDTH:
        return [one_line]
    return [f"{name} = [", *table_lines(texts, shape, per_line), "]"]
