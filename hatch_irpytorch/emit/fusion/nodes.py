"""`fuse: true`: a model whose nodes are replaced, several by one call of PyTorch.

A fused node takes the place of the last of the nodes it stands for; the others are not reached any
more. Numbers agree to rounding: some sums are formed in another order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import structs

from hatch_irpytorch.axes.free import FreeModel
from hatch_irpytorch.emit.literals import decimals, rounded
from hatch_irpytorch.emit.options import EmitOptions
from hatch_irpytorch.emit.values import read_value
from hatch_irpytorch.emit.zero_signs import seen_by_inverse
from hatch_irpytorch.ir.graph import Model, Node
from hatch_irpytorch.ir.ops import Const, LayerNorm, Op
from hatch_irpytorch.ir.ops.movement import BroadcastTo
from hatch_irpytorch.ir.shapes import Shape
from hatch_irpytorch.ir.symbolic import SymbolicShape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


class Fuser:
    """The nodes of a model while they are replaced, and who uses whom."""

    def __init__(self, free: FreeModel, options: EmitOptions) -> None:
        model = free.model
        self.model = model
        self.shapes = free.shapes
        self.tiles = free.tiles
        self.dtype = options.dtype
        self.learnable_consts = options.learnable_consts
        self.nodes = list(model.graph.nodes)
        self.params = dict(model.params)
        self.numbers: dict[int, float | None] = {}
        self.outputs = frozenset(model.graph.output_ids)
        live = model.graph.live_ids()
        self.signed = seen_by_inverse(model.graph, model.graph.nodes)
        self.users: dict[int, set[int]] = {node_id: set() for node_id in sorted(live)}
        for node_id in live:
            for parent in self.nodes[node_id].parents:
                self.users[parent].add(node_id)

    def result(self) -> Model:
        graph = replace(self.model.graph, nodes=tuple(self.nodes))
        return replace(self.model, graph=graph, params=self.params)

    def apply(self, rule: Callable[[Fuser, Node], bool]) -> None:
        """Try a rule on every live node, in order."""
        for node_id in list(self.users):
            if node_id in self.users:
                rule(self, self.nodes[node_id])

    def rewire(self, new: Node) -> None:
        """Put a node in the place of the one with its id; what nobody uses any more is gone."""
        old = self.nodes[new.id]
        self.nodes[new.id] = new
        for parent in new.parents:
            self.users[parent].add(new.id)
        dropped = [(parent, new.id) for parent in set(old.parents) - set(new.parents)]
        while dropped:
            node_id, user = dropped.pop()
            users = self.users.get(node_id)
            if users is None:
                continue
            users.discard(user)
            if not users and node_id not in self.outputs:
                del self.users[node_id]
                dropped += [(parent, node_id) for parent in self.nodes[node_id].parents]

    def put(
        self,
        root: Node,
        op: Op,
        parents: tuple[int, ...],
        covered: Iterable[int],
        payload: dict[str, Array] | None = None,
    ) -> bool:
        """Replace `root`; False where a value in between is wanted elsewhere too."""
        inner = set(covered) - {root.id}
        every = inner | {root.id}
        if not every.isdisjoint(self.tiles):
            return False
        for node_id in inner:
            shared = isinstance(self.nodes[node_id].op, Const | BroadcastTo)
            if not shared and (node_id in self.outputs or not self.users[node_id] <= every):
                return False
        stands_for = {node_id for i in every for node_id in (self.nodes[i].covers or (i,))}
        covers = tuple(sorted(stands_for))
        self.rewire(structs.replace(root, op=op, parents=parents, covers=covers))
        for field, array in (payload or {}).items():
            self.params[root.id, field] = array
        return True

    def op(self, node_id: int) -> Op:
        return self.nodes[node_id].op

    def shape(self, node_id: int) -> Shape:
        return self.nodes[node_id].shape

    def symbolic_shape(self, node_id: int) -> SymbolicShape:
        return self.shape(node_id) if self.shapes is None else self.shapes[node_id]

    def constant(self, node_id: int) -> tuple[Array, tuple[int, ...]] | None:
        """The value of a const, also a broadcast one, and the nodes it takes."""
        source, covered = self._behind_broadcasts(node_id)
        if not isinstance(self.op(source), Const):
            return None
        array = self.params[source, "values"]
        return np.broadcast_to(array, self.shape(node_id)), (*covered, source)

    def is_learned(self, const: int) -> bool:
        """Whether a const that belongs to a layer norm is a parameter."""
        op = self.op(const)
        assert isinstance(op, Const)
        return self.learnable_consts and op.learnable is not False

    def is_learned_const(self, const: int) -> bool:
        """Whether a const may be a parameter."""
        op = self.op(const)
        return isinstance(op, Const) and op.learnable is not False

    def is_finite(self, array: Array) -> bool:
        """Whether an array has numbers for entries in the dtype of the module."""
        return bool(np.isfinite(rounded(array, self.dtype)).all())

    def number(self, node_id: int) -> tuple[float, tuple[int, ...]] | None:
        """The one number that a const holds everywhere, where it is not learned."""
        source, covered = self._behind_broadcasts(node_id)
        if source not in self.numbers:
            self.numbers[source] = self._number(self.nodes[source])
        number = self.numbers[source]
        return None if number is None else (number, (*covered, source))

    def _behind_broadcasts(self, node_id: int) -> tuple[int, list[int]]:
        """The value that a node broadcasts, by one step or several, and the nodes that do it."""
        covered = []
        while isinstance(self.op(node_id), BroadcastTo):
            covered.append(node_id)
            (node_id,) = self.nodes[node_id].parents
        return node_id, covered

    def _number(self, node: Node) -> float | None:
        if not isinstance(node.op, Const) or node.op.learnable:
            return None
        value = read_value(self.params[node.id, "values"])
        if not value.filled or value.array.size == 0:
            return None
        return float(value.first) if self.is_finite(value.first.reshape(1)) else None

    def literal(self, number: float) -> str:
        return decimals(np.array([number]), self.dtype)[0]

    def with_number(self, node_id: int, tag: str) -> tuple[int, float, tuple[int, ...]] | None:
        """Of an op of two parents, one a number: the other parent, the number, the nodes."""
        node = self.nodes[node_id]
        if node.op.tag != tag:
            return None
        for other, candidate in (node.parents, node.parents[::-1]):
            found = self.number(candidate)
            if found is not None:
                return other, found[0], (*found[1], node_id)
        return None


def repeated(array: Array, axis: int) -> Array | None:
    """The part over the axes from `axis` on, where it is the same along those before."""
    part = array[(0,) * axis] if 0 not in array.shape else None
    return part if part is not None and (array == part).all() else None


def is_layer_norm(fuser: Fuser, node_id: int) -> bool:
    """Whether a node is a layer norm without payload of its own."""
    is_norm = isinstance(fuser.op(node_id), LayerNorm)
    return is_norm and (node_id, "gamma") not in fuser.params
