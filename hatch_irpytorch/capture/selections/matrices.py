"""A constant matrix along an axis."""

from __future__ import annotations

import numpy as np

from hatch_irpytorch.capture.builder import Builder, Value, split_at
from hatch_irpytorch.ir.ops.products import Matmul

Matrix = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def apply_matrix(b: Builder, x: Value, axis: int, matrix: Matrix) -> Value:
    """A constant (m, n) matrix along the axis of extent n: that axis becomes m long."""
    axis %= x.rank
    before, extent, after = split_at(x.shape, axis)
    out = (*x.shape[:axis], len(matrix), *x.shape[axis + 1 :])
    if after == 1 and axis == x.rank - 1:
        return b.node(Matmul(), x, b.const(matrix.T))
    if axis == x.rank - 2:
        return b.node(Matmul(), b.const(matrix), x)
    whole = b.reshape(x, (before, extent, after))
    return b.reshape(b.node(Matmul(), b.const(matrix), whole), out)
