"""What an array holds: one number, one row again and again, or anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hatch_irpytorch.emit.literals import rounded
from hatch_irpytorch.emit.plan import Declaration, Tensor
from hatch_irpytorch.ir.ops.code import Code, call
from hatch_irpytorch.ir.shapes import Shape, numel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


class StoredValue(NamedTuple):
    """An array. `uniform`: all entries equal as floats; `filled`: equal to the bit.

    `repeats_row`: whether an (S, E) array holds one row S times, to the bit.
    torchlean.ir.v1: 5.3.
    """

    array: Array
    uniform: bool
    filled: bool
    repeats_row: bool

    @property
    def first(self) -> Array:
        return self.array.reshape(-1)[0] if self.array.size else np.zeros(())


def read_value(array: Array) -> StoredValue:
    """What an array holds. A broadcast fill is looked at once, not entry by entry."""
    has_rows = array.ndim == 2 and len(array) > 0
    if array.size == 0 or not any(array.strides):
        uniform = not np.isnan(array).any()
        return StoredValue(array, uniform, True, has_rows and uniform)
    uniform, same_signs = _are_equal(array.reshape(-1), array.reshape(-1)[:1])
    # Rows that differ only in the sign of a zero are equal as floats, yet not the same bits.
    repeats_row = has_rows and all(_are_equal(array, array[0]))
    return StoredValue(array, uniform, uniform and same_signs, repeats_row)


_ROWS = 1 << 20


def _are_equal(array: Array, wanted: Array) -> tuple[bool, bool]:
    """Whether each item equals `wanted`, and each sign; a part at a time, up to the first other."""
    step = max(1, _ROWS // max(1, wanted.size))
    signs = True
    for start in range(0, len(array), step):
        part = array[start : start + step]
        if not (part == wanted).all():
            return False, False
        signs = signs and bool((np.signbit(part) == np.signbit(wanted)).all())
    return True, signs


def held(node_id: int, declaration: Declaration, value: StoredValue, dtype: str) -> Tensor:
    """The tensor of a buffer, which is written as one number where it holds nothing else."""
    if not value.filled:
        return Tensor(node_id, declaration, value.array)
    fill = float(rounded(value.first, dtype))
    return Tensor(node_id, declaration, code=_filled(declaration.shape, fill))


def _filled(shape: Shape, value: float) -> Code:
    if numel(shape) == 0:
        return call("torch.zeros", shape, dtype="dtype")
    return call("torch.full", shape, value, dtype="dtype")
