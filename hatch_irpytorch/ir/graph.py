"""A graph as plain frozen data."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec

from hatch_irpytorch.errors import Place, Problem
from hatch_irpytorch.ir.ops.base import Op, Slot
from hatch_irpytorch.ir.ops.sources import Input
from hatch_irpytorch.ir.shapes import Shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]
    Ids = NDArray[np.int64]


class Node(msgspec.Struct, frozen=True, gc=False):
    """One tensor node. `id` is its position after lowering, `raw_id` its position in the file.

    `raw_kind` is the kind that the file gives, which differs from the op's tag after lowering.
    `origin` names the place in the program that the node came from; no number depends on it.
    `keys` are what a state dict of the source calls its arrays, by payload field.
    `covers` are the nodes that a fused node stands for, itself among them; empty for all others.
    """

    id: int
    op: Op
    parents: tuple[int, ...]
    shape: Shape
    raw_id: int
    raw_kind: str
    origin: str = ""
    keys: tuple[tuple[str, str], ...] = ()
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
    def integers(self) -> int | None:
        """What the entries of the input are below, when they are whole numbers from 0."""
        op = self.nodes[self.input_id].op
        return op.integers if isinstance(op, Input) else None

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        return tuple(self.nodes[i].shape for i in self.output_ids)

    @cached_property
    def _signed(self) -> tuple[tuple[int, ...], tuple[Node, ...]]:
        known: dict[tuple[object, ...], int] = {}
        found: list[int] = []
        first: list[Node] = []
        shapes = [node.shape for node in self.nodes]
        for node in self.nodes:
            # Ops of the same attributes are one object, which its first node keeps alive.
            form = (id(node.op), node.shape, *map(shapes.__getitem__, node.parents))
            signature = known.setdefault(form, len(known))
            if signature == len(first):
                first.append(node)
            found.append(signature)
        return tuple(found), tuple(first)

    @property
    def signatures(self) -> tuple[int, ...]:
        """By node, the number of its signature: its op, the shapes of its parents and its own.

        Nodes with one signature are checked as one, have the same payload slots and the same
        code but for names. Numbers are given in order of first use.
        """
        return self._signed[0]

    @property
    def signature_nodes(self) -> tuple[Node, ...]:
        """The first node of each signature."""
        return self._signed[1]

    @cached_property
    def signature_ids(self) -> Ids:
        """`signatures` as an array."""
        import numpy as np

        return np.array(self.signatures, dtype=np.int64)

    def has_op(self, tag: str) -> bool:
        """Whether any node has an op of this tag."""
        return any(node.op.tag == tag for node in self.signature_nodes)

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """By node, the tag of its op."""
        of_signatures = [node.op.tag for node in self.signature_nodes]
        return tuple([of_signatures[signature] for signature in self.signatures])

    @cached_property
    def _parent_shapes(self) -> tuple[tuple[Shape, ...], ...]:
        return tuple(
            tuple([self.nodes[parent].shape for parent in node.parents])
            for node in self.signature_nodes
        )

    def parent_shapes(self, node: Node) -> tuple[Shape, ...]:
        return self._parent_shapes[self.signatures[node.id]]

    @cached_property
    def _slots(self) -> dict[int, tuple[Slot, ...]]:
        return {}

    def slots(self, node: Node) -> tuple[Slot, ...]:
        """The payload slots of a node, whose parents must have shapes that its op allows."""
        if not node.op.payload_fields:
            return ()
        signature = self.signatures[node.id]
        found = self._slots.get(signature)
        if found is None:
            found = self._slots[signature] = node.op.payload(*self._parent_shapes[signature])
        return found

    @cached_property
    def uses(self) -> tuple[Ids, Ids]:
        """Every use of a value as a parent: the users in order, and what they use."""
        import numpy as np

        parents = [node.parents for node in self.nodes]
        lengths = np.fromiter(map(len, parents), np.int64, len(parents))
        users = np.repeat(np.arange(len(parents)), lengths)
        used = np.fromiter(chain.from_iterable(parents), np.int64, len(users))
        return users, used

    def live_ids(self) -> Collection[int]:
        """The nodes that an output depends on."""
        import numpy as np

        used = np.zeros(len(self.nodes), dtype=np.bool_)
        used[self.uses[1]] = True
        used[list(self.output_ids)] = True
        if used.all():
            # Users have larger ids, so that from each of them a way leads to an output.
            return range(len(self.nodes))
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
"""(tensor node id, payload field) to an array of the shape its slot is held in, as it is stored."""


@dataclass(frozen=True)
class Model:
    """A checked graph with the payload of every node that is evaluated.

    `notes` are remarks about inputs that are legal but deserve a look. `mixes_rows`: whoever made
    the graph saw that samples meet in a larger batch, which a graph of one does not show.
    """

    graph: Graph
    params: ParamStore
    notes: tuple[Problem, ...] = field(default=())
    mixes_rows: bool = False


def node_list(ids: Sequence[int]) -> str:
    """Ascending ids as `nodes 3-7, 9`."""
    runs: list[list[int]] = []
    for node_id in ids:
        if runs and node_id == runs[-1][1] + 1:
            runs[-1][1] = node_id
        else:
            runs.append([node_id, node_id])
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in runs]
    return f"nodes {', '.join(shown)}"
