"""Payload that stands in the document, read for all nodes that are alike at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from hatch_irpytorch.ir.attributes import ValueFormError, are_numbers, flat_items, tensor
from hatch_irpytorch.ir.graph import Graph, ParamStore, Shape, numel
from hatch_irpytorch.ir.lowered import Lowered
from hatch_irpytorch.ir.ops import Const
from hatch_irpytorch.ir.packing import ABSENT, Packed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


def read_payload(lowered: Lowered) -> ParamStore | None:
    """The arrays of every slot of a sound graph.

    None where something is missing or ill-formed, or legal but rare: nothing is reported here, and
    the nodes have to be looked at one by one.
    """
    packed = lowered.packed
    if packed is not None and _fits(lowered.graph, packed):
        return packed.arrays
    return _by_signature(lowered)


def _fits(graph: Graph, packed: Packed) -> bool:
    """Whether the arrays are those that the slots of all nodes ask for, and no others."""
    signature_ids = graph.signature_ids
    shapes: dict[Shape, int] = {}
    fields = {group.field for group in packed.groups}
    given = {field: np.full(len(graph.nodes), _NONE) for field in fields}
    for group in packed.groups:
        given[group.field][group.ids] = shapes.setdefault(group.shape, len(shapes))
    held = np.zeros(len(graph.signature_nodes), dtype=np.bool_)
    for found in given.values():
        held[signature_ids[found != _NONE]] = True
    wanted = {field: np.full(len(held), _NONE) for field in given}
    for signature, node in enumerate(graph.signature_nodes):
        slots = graph.slots(node)
        if not slots or (not held[signature] and node.op.optional_payload()):
            continue
        asked = frozenset([slot.field for slot in slots])
        if not asked <= fields or [*node.op.payload_problems(asked)]:
            return False
        for slot in slots:
            wanted[slot.field][signature] = shapes.get(slot.shape, _UNSEEN)
    return all((found == wanted[field][signature_ids]).all() for field, found in given.items())


_NONE = -1
_UNSEEN = -2


def _by_signature(lowered: Lowered) -> ParamStore | None:
    """The same for any JSON values, those of a signature at a time."""
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
        values = {s.field: [lowered.value(node_id, s.field) for node_id in ids] for s in slots}
        given = frozenset([f for f, held in values.items() if not all(v is ABSENT for v in held)])
        if not given and op.optional_payload():
            continue
        if len(given) < len(slots) or [*op.payload_problems(given)]:
            return None
        for slot in slots:
            arrays = _arrays(values[slot.field], slot.shape, isinstance(op, Const))
            if arrays is None:
                return None
            params.update(zip([(node_id, slot.field) for node_id in ids], arrays, strict=True))
    return params


def _arrays(values: list[object], shape: Shape, flat: bool) -> Sequence[Array] | None:
    """One array of a shape from each value; None when one is missing or ill-formed."""
    try:
        if set(map(type, values)) != {list}:
            return [tensor(value, shape, flat) for value in values]
        count = len(values)
        numbers = flat_items(values, (count, numel(shape)) if flat else (count, *shape), False)
        if numbers is None or not are_numbers(numbers):
            return None
        whole: Array = np.array(numbers, dtype=np.float64).reshape(count, *shape)
    except (ValueFormError, OverflowError):
        return None
    return list(whole) if np.isfinite(whole).all() else None
