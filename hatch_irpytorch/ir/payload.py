"""Payload that stands in the document, read for all nodes that are alike at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hatch_irpytorch.ir.attributes import ValueFormError, are_numbers, flat_items, tensor
from hatch_irpytorch.ir.graph import Graph, Shape, numel
from hatch_irpytorch.ir.lowered import InlinePayload
from hatch_irpytorch.ir.ops import Const
from hatch_irpytorch.source.number_text import NumberText

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


def read_payload(
    graph: Graph, inline: Mapping[int, InlinePayload]
) -> dict[tuple[int, str], Array] | None:
    """The arrays of every slot of a sound graph.

    None where something is missing or ill-formed, or legal but rare: nothing is reported here, and
    the nodes have to be looked at one by one.
    """
    alike: dict[int, list[int]] = {}
    signatures = graph.signatures
    for node in graph.nodes:
        if node.op.has_payload:
            alike.setdefault(signatures[node.id], []).append(node.id)
    params: dict[tuple[int, str], Array] = {}
    for ids in alike.values():
        op, slots = graph.nodes[ids[0]].op, graph.slots(graph.nodes[ids[0]])
        payloads = [inline.get(node_id, _NOTHING) for node_id in ids]
        given = _given(payloads, [slot.field for slot in slots])
        if not given and op.optional_payload():
            continue
        if len(given) < len(slots) or [*op.payload_problems(given)]:
            return None
        for slot in slots:
            arrays = _arrays(payloads, slot.field, slot.shape, isinstance(op, Const))
            if arrays is None:
                return None
            field = slot.field
            params.update(zip([(node_id, field) for node_id in ids], arrays, strict=True))
    return params


_NOTHING = InlinePayload()
_ABSENT = object()


def _given(payloads: Sequence[InlinePayload], fields: Sequence[str]) -> frozenset[str]:
    """The fields that any of the payloads gives."""
    return frozenset(
        field
        for field in fields
        if any(p.fill is not None or p.names.get(field, field) in p.values for p in payloads)
    )


def _arrays(
    payloads: Sequence[InlinePayload], field: str, shape: Shape, flat: bool
) -> Sequence[Array] | None:
    """One array of a shape from each payload; None when a value is missing or ill-formed."""
    if all(payload.fill is not None for payload in payloads):
        return [np.broadcast_to(np.float64(payload.fill), shape) for payload in payloads]
    values = [
        payload.values.get(payload.names[field] if payload.names else field, _ABSENT)
        for payload in payloads
    ]
    try:
        if NumberText in set(map(type, values)):
            return [tensor(value, shape, flat) for value in values]
        count = len(values)
        numbers = flat_items(values, (count, numel(shape)) if flat else (count, *shape), False)
        if numbers is None or not are_numbers(numbers):
            return None
        whole: Array = np.array(numbers, dtype=np.float64).reshape(count, *shape)
    except (ValueFormError, OverflowError):
        return None
    return list(whole) if np.isfinite(whole).all() else None
