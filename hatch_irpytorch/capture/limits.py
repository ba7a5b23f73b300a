"""What a node of a file may hold: asked when a node is made, so that errors name its source."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hatch_irpytorch.capture.inexpressible import InexpressibleError
from hatch_irpytorch.ir.ops import Op
from hatch_irpytorch.ir.shapes import MAX_EXTENT, MAX_RANK, Shape, numel, shape_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


def require_shape(shape: Shape) -> None:
    """Refuse what no file may declare: a reader counts entries and axes in machine integers."""
    fits = len(shape) <= MAX_RANK and all(0 <= extent <= MAX_EXTENT for extent in shape)
    if not fits or numel(shape) > MAX_EXTENT:
        raise InexpressibleError(f"a tensor of shape {shape_text(shape)}")


def require_attributes(op: Op) -> None:
    """Refuse attributes that no file may hold: all are natural or finite numbers."""
    for name, value in vars(op).items():
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, int) and not 0 <= part <= MAX_EXTENT:
                raise InexpressibleError(f"`{name}` of {part}")
            if isinstance(part, float) and not math.isfinite(part):
                raise InexpressibleError(f"`{name}` of {part}")


def require_payload(
    op: Op, shapes: Sequence[Shape], arrays: Mapping[str, Array], *, finite: bool = True
) -> None:
    """Refuse arrays that differ from the slots of an op, or that hold no finite numbers."""
    if not arrays:
        return
    for slot in op.payload(*shapes):
        found = arrays.get(slot.field)
        if found is None:
            continue
        if found.shape != slot.held:
            wanted, is_ = shape_text(slot.held), shape_text(found.shape)
            raise InexpressibleError(f"`{slot.field}` of shape {is_} where {wanted} is needed")
        if finite and not np.isfinite(found).all():
            raise InexpressibleError(f"`{slot.field}` that holds an infinity or NaN")
