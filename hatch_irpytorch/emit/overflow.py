"""Numbers beyond the dtype of a module: finite in the graph, infinite in the text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from hatch_irpytorch.emit.literals import CARRIERS, rounded
from hatch_irpytorch.errors import Problems
from hatch_irpytorch.ir.ops import attribute_name

if TYPE_CHECKING:
    from hatch_irpytorch.ir.graph import Array, Model, Node

_STANDS_FOR_INFINITY = (2.0**127, float(np.finfo(np.float32).max))
"""What a capture writes for an infinity, and below every entry: a narrow dtype may print it."""


def require_finite(model: Model, nodes: Iterable[Node], dtype: str) -> None:
    """Raise `overflow` for every array of the nodes that holds a number beyond the dtype."""
    graph, problems = model.graph, Problems()
    for node in nodes:
        for slot in graph.slots(node):
            array = model.params.get((node.id, slot.field))
            if array is None or array.dtype == CARRIERS[dtype] != CARRIERS["bfloat16"]:
                continue
            beyond = _beyond(array, dtype)
            if beyond is not None:
                name = attribute_name(node.op.prefix, node.id, slot.name)
                place = graph.place(node)
                message = f"`{name}` holds {beyond!r}, which {dtype} does not"
                problems.add("overflow", place, message, "choose a wider `dtype`")
    problems.raise_if_any()


def _beyond(array: Array, dtype: str) -> float | None:
    """A finite number that becomes infinite, if there is one."""
    if array.size == 0:
        return None
    ends = np.array([array.min(), array.max()], dtype=np.float64)
    if np.isfinite(rounded(ends, dtype)).all():
        return None
    sizes = np.abs(array)
    infinite = np.isinf(rounded(array, dtype)) & np.isfinite(array)
    beyond = array[infinite & ~np.isin(sizes, _STANDS_FOR_INFINITY)]
    return float(beyond.reshape(-1)[0]) if beyond.size else None
