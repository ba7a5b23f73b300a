"""The payload in nodes as arrays: the lists of one part of a document become one array."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from struct import pack
from typing import Any

import numpy as np

from hatch_irpytorch.ir.attributes import ATTRIBUTES, are_numbers, flat_items
from hatch_irpytorch.ir.graph import Shape
from hatch_irpytorch.ir.ops import OPS

_WITH_PAYLOAD = frozenset(op.tag for op in OPS if op.has_payload)
_STRUCTURE = {"id", "kind", "parents", "shape"}


def pack_payload(kinds: Sequence[str], nodes: Sequence[dict[str, object]]) -> None:
    """Put an array in place of each list of numbers that is no attribute.

    Lists that are not regular, or hold something else, stay as they are.
    """
    alike: dict[str, list[dict[str, object]]] = defaultdict(list)
    for kind, node in zip(kinds, nodes, strict=True):
        if kind in _WITH_PAYLOAD:
            alike[kind].append(node)
    for kind, holders in alike.items():
        for name in set().union(*holders) - _STRUCTURE - set(ATTRIBUTES[kind]):
            _pack_field(name, holders)


def _pack_field(name: str, nodes: Sequence[dict[str, object]]) -> None:
    holders = [node for node in nodes if type(node.get(name)) is list]
    if holders and not _pack_alike(name, holders):
        by_shape: dict[Shape, list[dict[str, object]]] = defaultdict(list)
        for node in holders:
            by_shape[_first_extents(node[name])].append(node)
        for alike in by_shape.values():
            _pack_alike(name, alike)


def _pack_alike(name: str, nodes: Sequence[dict[str, object]]) -> bool:
    """Whether the lists are regular, of one shape and hold numbers, and are arrays now."""
    shape = (len(nodes), *_first_extents(nodes[0][name]))
    items = flat_items([node[name] for node in nodes], shape, False)
    if not items or not are_numbers(items):
        return False
    whole = np.frombuffer(pack(f"{len(items)}d", *items)).reshape(shape)
    for node, array in zip(nodes, whole, strict=True):
        node[name] = array
    return True


def _first_extents(value: Any) -> Shape:
    """The shape that the first entries of nested lists suggest."""
    extents = []
    while type(value) is list and value:
        extents.append(len(value))
        value = value[0]
    return tuple(extents)
