"""The rule for products with rows that are 1 at one place: they choose entries of an axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hatch_irpytorch.emit.fusion.nodes import Fuser
from hatch_irpytorch.emit.fusion.ops import Cut
from hatch_irpytorch.ir.graph import Node

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


def fuse_cut(fuser: Fuser, node: Node) -> bool:
    """A matrix of unit rows times a value, or a value times one of unit columns → a slice."""
    if node.op.tag != "matmul":
        return False
    left, right = node.parents
    for matrix, value, axis in ((left, right, -2), (right, left, -1)):
        found = fuser.constant(matrix) if len(fuser.shape(matrix)) == 2 else None
        if found is None or fuser.is_learned_const(found[1][-1]) or len(fuser.shape(value)) < 2:
            continue
        cut = _cut(found[0] if axis == -2 else found[0].T, axis)
        if cut is not None:
            return fuser.put(node, cut, (value,), found[1])
    return False


def _cut(rows: Array, axis: int) -> Cut | None:
    """The slice that a matrix of unit rows takes, where its ones stand evenly."""
    if rows.size == 0 or not ((rows == 0.0) | (rows == 1.0)).all():
        return None
    if not (np.count_nonzero(rows, axis=1) == 1).all():
        return None
    places = rows.argmax(axis=1)
    steps = set(np.diff(places).tolist()) or {1}
    step = steps.pop()
    if steps or step < 1:
        return None
    return Cut(axis, int(places[0]), int(places[-1]) + 1, step)
