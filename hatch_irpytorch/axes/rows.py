"""Values with a batch as rows, and rows as a value with a batch of as many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hatch_irpytorch.ir.shapes import numel
from hatch_irpytorch.ir.symbolic import Factor, Product, SymbolicShape, batch_axis, factor_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def rows(array: Array, shape: SymbolicShape) -> Array:
    """A value of the declared extents with its batch on an axis of its own, the first."""
    axis, before, size, after = _batch(shape)
    split = (*array.shape[:axis], before, size, after, *array.shape[axis + 1 :])
    return np.moveaxis(array.reshape(split), axis + 1, 0)


def from_rows(stacked: Array, shape: SymbolicShape) -> Array:
    """The value whose `rows` these are, in a batch of as many."""
    axis, before, _, after = _batch(shape)
    moved = np.moveaxis(stacked, 0, axis + 1)
    extent = before * len(stacked) * after
    return moved.reshape((*moved.shape[:axis], extent, *moved.shape[axis + 3 :]))


def _batch(shape: SymbolicShape) -> tuple[int, int, int, int]:
    """The axis of the batch, and on it the entries outside, of, and inside the batch."""
    axis = batch_axis(shape)
    assert axis is not None
    extent = shape[axis]
    assert isinstance(extent, Product)
    factors = extent.factors
    place = next(i for i, f in enumerate(factors) if not isinstance(f, int) and f.batch)

    def count(some: tuple[Factor, ...]) -> int:
        return numel(tuple(map(factor_size, some)))

    return axis, count(factors[:place]), factor_size(factors[place]), count(factors[place + 1 :])
