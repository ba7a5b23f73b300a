"""Determinants of small matrices, written out."""

from __future__ import annotations

from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Value
from hatch_irpytorch.capture.entries.elementwise import add, mul, neg, sub
from hatch_irpytorch.capture.selections.selection import select

LARGEST_WRITTEN_OUT = 3


def determinant(b: Builder, x: Value) -> Value:
    """The determinant of the last two axes, of at most three rows."""
    if x.rank < 2 or x.shape[-1] != x.shape[-2]:
        raise InexpressibleError("a determinant of what is no square matrix")
    if x.shape[-1] > LARGEST_WRITTEN_OUT:
        raise InexpressibleError(f"a determinant of more than {LARGEST_WRITTEN_OUT} rows")
    size = x.shape[-1]
    rows = [[select(b, select(b, x, -2, i), -1, j) for j in range(size)] for i in range(size)]
    return _expanded(b, rows) if rows else b.full(x.shape[:-2], 1.0)


def _expanded(b: Builder, rows: list[list[Value]]) -> Value:
    """By the first row."""
    if len(rows) == 1:
        return rows[0][0]
    if len(rows) == 2:
        (p, q), (r, s) = rows
        return sub(b, mul(b, p, s), mul(b, q, r))
    result: Value | None = None
    for column, entry in enumerate(rows[0]):
        minor = _expanded(b, [[*row[:column], *row[column + 1 :]] for row in rows[1:]])
        term = mul(b, entry, minor)
        signed = neg(b, term) if column % 2 else term
        result = signed if result is None else add(b, result, signed)
    assert result is not None
    return result
