"""Numbers beyond the dtype of a module: finite in the graph, infinite in the text."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import numpy as np

from hatch_irpytorch.emit.literals import CARRIERS, rounded
from hatch_irpytorch.errors import Problems
from hatch_irpytorch.ir.ops import attribute_name

if TYPE_CHECKING:
    from hatch_irpytorch.ir.graph import Array, Model

_STANDS_FOR_INFINITY = (2.0**127, float(np.finfo(np.float32).max))
"""What a capture writes for an infinity, and below every entry: a narrow dtype may print it."""


_Held = tuple[tuple[int, str], "Array"]
"""An array, with the node and the field that hold it."""

_TOGETHER = 1 << 16
"""How many numbers of small arrays are looked at together."""


def require_finite(model: Model, live: Collection[int], dtype: str) -> None:
    """Raise `overflow` for every array of the live nodes that holds a number beyond the dtype."""
    problems = Problems()
    for some in _portions(model, live, dtype):
        if _are_within([array for _, array in some], dtype):
            continue
        for (node_id, field), array in some:
            beyond = _beyond(array, dtype)
            if beyond is not None:
                node = model.graph.nodes[node_id]
                (slot,) = (slot for slot in model.graph.slots(node) if slot.field == field)
                name = attribute_name(node.op.prefix, node_id, slot.name)
                message = f"`{name}` holds {beyond!r}, which {dtype} does not"
                place = model.graph.place(node)
                problems.add("overflow", place, message, "choose a wider `dtype`")
    problems.raise_if_any()


def _portions(model: Model, live: Collection[int], dtype: str) -> Iterator[list[_Held]]:
    """The arrays that are not in the dtype already, some thousand numbers at a time."""
    fitting = () if dtype == "bfloat16" else (CARRIERS[dtype],)
    portion: list[_Held] = []
    count = 0
    for key, array in model.params.items():
        if array.dtype in fitting or key[0] not in live:
            continue
        if portion and count + array.size > _TOGETHER:
            yield portion
            portion, count = [], 0
        portion.append((key, array))
        count += array.size
    yield portion


def _are_within(arrays: list[Array], dtype: str) -> bool:
    """Whether all numbers of some arrays are finite, and stay so in the dtype."""
    whole = arrays[0] if len(arrays) == 1 else np.concatenate([*arrays, [0.0]], axis=None)
    if whole.size == 0:
        return True
    ends = np.array([whole.min(), whole.max()], dtype=np.float64)
    return bool(np.isfinite(rounded(ends, dtype)).all())


def _beyond(array: Array, dtype: str) -> float | None:
    """A finite number that becomes infinite, if there is one."""
    if _are_within([array], dtype):
        return None
    sizes = np.abs(array)
    infinite = np.isinf(rounded(array, dtype)) & np.isfinite(array)
    beyond = array[infinite & ~np.isin(sizes, _STANDS_FOR_INFINITY)]
    return float(beyond.reshape(-1)[0]) if beyond.size else None
