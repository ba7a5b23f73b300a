"""Payload as arrays while a document is read: the lists of alike nodes become one array."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from struct import error as StructError  # noqa: N812
from struct import pack
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hatch_irpytorch.ir.attributes import ATTRIBUTES, are_numbers, flat_items
from hatch_irpytorch.ir.columns import STRUCTURE, Columns
from hatch_irpytorch.ir.graph import FieldArrays, Shape, numel
from hatch_irpytorch.ir.ops import OPS, Const

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_NO_PAYLOAD = {*STRUCTURE, "value_kind", "debug_target", "onnx_name"}
_OTHER_FIELDS = {
    op.tag: _NO_PAYLOAD | set(ATTRIBUTES[op.tag]) | op.repeated_fields
    for op in OPS
    if op.has_payload
}
"""By kind of node with payload, the fields that are something else."""

ABSENT = object()
"""Stands for a value that a document does not give."""


class Group(NamedTuple):
    """Nodes whose field holds an array of the same shape."""

    field: str
    shape: Shape
    ids: Sequence[int]


class Packed:
    """The payload that a document of plain nodes holds.

    What is regular and has nothing but finite numbers is in `arrays`, by node and field, a const's
    array in the shape of its node; `groups` say which shapes those have. Nodes that have something
    else are in `rest`.
    """

    def __init__(self) -> None:
        self.arrays = FieldArrays()
        self.groups: list[Group] = []
        self.rest: dict[int, Mapping[str, object]] = {}

    def value(self, node_id: int, field: str) -> object:
        """What a node has in a field, or `ABSENT`."""
        array = self.arrays.get((node_id, field))
        return self.rest.get(node_id, {}).get(field, ABSENT) if array is None else array

    def add(self, nodes: Columns, first: int) -> None:
        """Take the payload of nodes from position `first` on."""
        alike: dict[str, list[int]] = defaultdict(list)
        for index, kind in enumerate(nodes.kinds):
            if kind in _OTHER_FIELDS:
                alike[kind].append(index)
        for kind, indexes in alike.items():
            names = set().union(*[nodes.fields[index] for index in indexes])
            for name in sorted(names - _OTHER_FIELDS[kind]):
                owners = [index for index in indexes if name in nodes.fields[index]]
                if kind == Const.tag:
                    for shape, some in _grouped(owners, nodes.shapes):
                        self._take(nodes, name, some, first, (numel(shape),), shape)
                else:
                    self._take_nested(nodes, name, owners, first)

    def _take_nested(self, nodes: Columns, name: str, owners: list[int], first: int) -> None:
        """Take lists that are nested like the shape of what they hold."""
        extents = _first_extents(nodes.fields[owners[0]][name])
        if not self._take(nodes, name, owners, first, extents, extents) and len(owners) > 1:
            shapes = [_first_extents(fields.get(name)) for fields in nodes.fields]
            for shape, some in _grouped(owners, shapes):
                self._take(nodes, name, some, first, shape, shape)

    def _take(
        self,
        nodes: Columns,
        name: str,
        owners: list[int],
        first: int,
        extents: Shape,
        shape: Shape,
    ) -> bool:
        """Whether the lists are of these extents and hold numbers: then they are arrays now."""
        values = [nodes.fields[index][name] for index in owners]
        ids = [first + index for index in owners]
        whole = _array(values, (len(values), *extents)) if extents else None
        if whole is None:
            self.rest.update(zip(ids, [nodes.fields[index] for index in owners], strict=True))
            return False
        whole = whole.reshape(len(values), *shape)
        # The items of a vector are no arrays.
        arrays = whole if shape else [whole[index, ...] for index in range(len(values))]
        self.arrays.by_field[name].update(zip(ids, arrays, strict=True))
        self.groups.append(Group(name, shape, ids))
        return True


def _array(values: list[Any], extents: Shape) -> Array | None:
    """Nested lists of finite numbers as one array; None for anything else."""
    items = flat_items(values, extents, False)
    if not items or not are_numbers(items):
        return None
    try:
        whole: Array = np.frombuffer(pack(f"{len(items)}d", *items))
    except (OverflowError, StructError):
        # An integer is beyond the range of binary64.
        return None
    return whole.reshape(extents) if np.isfinite(whole).all() else None


def _grouped(indexes: list[int], shapes: Sequence[Shape]) -> Iterable[tuple[Shape, list[int]]]:
    """The indexes of each shape."""
    found: dict[Shape, list[int]] = defaultdict(list)
    for index in indexes:
        found[shapes[index]].append(index)
    return found.items()


def _first_extents(value: Any) -> Shape:
    """The shape that the first entries of nested lists suggest."""
    extents = []
    while type(value) is list and value:
        extents.append(len(value))
        value = value[0]
    return tuple(extents)
