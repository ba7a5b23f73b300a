"""Payload that stands in the document, read for all nodes that are alike at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from hatch_irpytorch.ir.attributes import ValueFormError, tensor
from hatch_irpytorch.ir.graph import Shape, numel
from hatch_irpytorch.ir.lowered import Lowered
from hatch_irpytorch.ir.ops import Const

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


def read_payload(lowered: Lowered) -> dict[tuple[int, str], Array] | None:
    """The arrays of every slot of a sound graph.

    None where something is missing or ill-formed, or legal but rare: nothing is reported here, and
    the nodes have to be looked at one by one.
    """
    graph, fills = lowered.graph, lowered.fills
    alike: dict[int, list[int]] = defaultdict(list)
    signatures = graph.signatures
    for node in graph.nodes:
        if node.op.has_payload:
            alike[signatures[node.id]].append(node.id)
    params: dict[tuple[int, str], Array] = {}
    for ids in alike.values():
        op, slots = graph.nodes[ids[0]].op, graph.slots(graph.nodes[ids[0]])
        if all(node_id in fills for node_id in ids):
            for node_id, slot in product(ids, slots):
                params[node_id, slot.field] = np.broadcast_to(fills[node_id], slot.shape)
            continue
        payloads = [lowered.inline.get(node_id, {}) for node_id in ids]
        given = frozenset([s.field for s in slots if any(s.field in p for p in payloads)])
        if not given and op.optional_payload():
            continue
        if len(given) < len(slots) or [*op.payload_problems(given)]:
            return None
        for slot in slots:
            field = slot.field
            values = [payload.get(field, _ABSENT) for payload in payloads]
            arrays = _arrays(values, slot.shape, isinstance(op, Const))
            if arrays is None:
                return None
            params.update(zip([(node_id, field) for node_id in ids], arrays, strict=True))
    return params


_ABSENT = object()


def _arrays(values: list[object], shape: Shape, flat: bool) -> Sequence[Array] | None:
    """One array of a shape from each JSON value; None when one is missing or ill-formed."""
    levels = (numel(shape),) if flat else shape
    if set(map(type, values)) == {np.ndarray}:
        arrays = cast("list[Array]", values)
        if {array.shape for array in arrays} != {levels}:
            return None
        return [array.reshape(shape) for array in arrays] if levels != shape else arrays
    try:
        return [tensor(value, shape, flat) for value in values]
    except ValueFormError:
        return None
