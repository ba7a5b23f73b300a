"""A graph as plain frozen data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from hatch_irpytorch.errors import Place, Problem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hatch_irpytorch.ir.ops.base import Op, Slot

    Array = NDArray[np.floating[Any]]

Shape = tuple[int, ...]
_MAX_SHOWN = 32


def numel(shape: Shape) -> int:
    """The number of entries of a tensor: 1 for a scalar."""
    return math.prod(shape)


@lru_cache(maxsize=4096)
def shape_text(shape: Shape) -> str:
    """A shape as Python writes a tuple: `()`, `(3,)`, `(2, 3)`; only the first of many extents."""
    if len(shape) > _MAX_SHOWN:
        first = ", ".join(map(str, shape[:3]))
        return f"({first}, ...) of {len(shape)} axes"
    return str(tuple(shape))


class Node(NamedTuple):
    """One tensor node. `id` is its position after lowering, `raw_id` its position in the file.

    `raw_kind` is the kind that the file gives, which differs from the op's tag after lowering.
    `origin` names the place in the program that the node came from; nothing depends on it.
    `covers` are the nodes that a fused node stands for, itself among them; empty for all others.
    """

    id: int
    op: Op
    parents: tuple[int, ...]
    shape: Shape
    raw_id: int
    raw_kind: str
    origin: str = ""
    covers: tuple[int, ...] = ()


@dataclass(frozen=True)
class Graph:
    """Tensor nodes in id order; `output_ids` in the order of return, repeats allowed."""

    nodes: tuple[Node, ...]
    input_id: int
    output_ids: tuple[int, ...]
    file: str = "<graph>"

    @property
    def input_shape(self) -> Shape:
        return self.nodes[self.input_id].shape

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        return tuple(self.nodes[i].shape for i in self.output_ids)

    @cached_property
    def _parent_shapes(self) -> tuple[tuple[Shape, ...], ...]:
        shape_of = [node.shape for node in self.nodes].__getitem__
        return tuple(tuple(map(shape_of, node.parents)) for node in self.nodes)

    def parent_shapes(self, node: Node) -> tuple[Shape, ...]:
        return self._parent_shapes[node.id]

    @cached_property
    def _slots(self) -> dict[tuple[Op, tuple[Shape, ...]], tuple[Slot, ...]]:
        return {}

    def slots(self, node: Node) -> tuple[Slot, ...]:
        """The payload slots of a node, whose parents must have shapes that its op allows."""
        if not node.op.has_payload:
            return ()
        form = (node.op, self._parent_shapes[node.id])
        found = self._slots.get(form)
        if found is None:
            found = self._slots[form] = node.op.payload(*form[1])
        return found

    def live_ids(self) -> frozenset[int]:
        """The nodes that an output depends on."""
        live: set[int] = set()
        waiting = list(self.output_ids)
        while waiting:
            node_id = waiting.pop()
            if node_id not in live:
                live.add(node_id)
                waiting.extend(self.nodes[node_id].parents)
        return frozenset(live)

    def place(self, node: Node) -> Place:
        return Place(self.file, node=node.raw_id, kind=node.raw_kind, tensor=node.id)


ParamStore = Mapping[tuple[int, str], "Array"]
"""(tensor node id, payload field) to an array of the slot's shape, in its stored dtype."""


@dataclass(frozen=True)
class Model:
    """A checked graph with the payload of every node that is evaluated.

    `notes` are remarks about inputs that are legal but deserve a look.
    """

    graph: Graph
    params: ParamStore
    notes: tuple[Problem, ...] = field(default=())
