"""Values that hold one number for every index of a free extent: made to hold it once.

A const of the declared batch, `(4, 10)`, goes with a batch of any size only when its rows are equal;
then it is `(1, 10)`, which PyTorch repeats by itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from msgspec import structs

from hatch_irpytorch.axes.inference import NodeShapes, RefusedError
from hatch_irpytorch.ir.graph import Graph, Model, Node
from hatch_irpytorch.ir.ops import Const
from hatch_irpytorch.ir.ops.elementwise import SafeLog
from hatch_irpytorch.ir.ops.movement import BroadcastTo, Permute, Transpose
from hatch_irpytorch.ir.ops.softmaxes import HardMaskedSoftmax
from hatch_irpytorch.ir.ops.sources import BernoulliMask, Input, RandUniform
from hatch_irpytorch.ir.symbolic import SymbolicShape, lined_up

if TYPE_CHECKING:
    from hatch_irpytorch.ir.graph import Array

_OTHER_USE = "is used for each sample and as a whole"


def without_repeats(model: Model, shapes: NodeShapes) -> tuple[Model, NodeShapes]:
    """The model with every such value made once, and the shapes that follow.

    Raises `RefusedError` where a value differs along a free extent.
    """
    repeats = _Repeats(model, shapes)
    repeats.look()
    repeats.require_one_use()
    return repeats.result()


class _Repeats:
    def __init__(self, model: Model, shapes: NodeShapes) -> None:
        self.model = model
        self.graph: Graph = model.graph
        self.shapes = shapes
        self.has_draws = any(map(self.graph.has_op, (RandUniform.tag, BernoulliMask.tag)))
        self.once: dict[int, frozenset[int]] = {}
        """By node, the axes along which its entries are kept once."""
        self.uses: set[tuple[int, int]] = set()
        """User and used, where the user takes a value that is kept once."""

    def look(self) -> None:
        """Find out which parents stand for free extents of their users."""
        known: dict[tuple[object, ...], list[tuple[int, ...]]] = {}
        numbers = self.shapes.numbers
        for node in self.graph.nodes:
            if len(node.parents) < 2 or numbers[node.id] < 0:
                continue
            form = (node.op.tag, numbers[node.id], *[numbers[parent] for parent in node.parents])
            found = known.get(form)
            if found is None:
                out, parents = self.shapes[node.id], [self.shapes[i] for i in node.parents]
                repeats = [node.op.repeats(parent, out) for parent in parents]
                found = known[form] = repeats if any(repeats) else []
            for parent, axes in zip(node.parents, found, strict=False):
                for axis in axes:
                    self._keep_once(self.graph.nodes[parent], axis, node)

    def _keep_once(self, node: Node, axis: int, user: Node) -> None:
        """Keep a node's entries along an axis once, and those it is made of."""
        extent = node.shape[axis]
        if extent == 1 and not self.has_draws:
            return
        if extent > 1:
            self.uses.add((user.id, node.id))
            axes = self.once.setdefault(node.id, frozenset())
            if axis in axes:
                return
            self.once[node.id] = axes | {axis}
        op = node.op
        if isinstance(op, RandUniform | BernoulliMask):
            raise RefusedError(node, "draws another number for each sample")
        if isinstance(op, Input):
            raise RefusedError(user, "joins the input with itself along another axis")
        if isinstance(op, Const):
            array = self.model.params[node.id, "values"]
            if extent > 1 and not (array == array.take([0], axis=axis)).all():
                raise RefusedError(node, f"holds other numbers along axis {axis}")
            return
        for parent, at in self._made_of(node, axis):
            self._keep_once(self.graph.nodes[parent], at, node)

    def _made_of(self, node: Node, axis: int) -> list[tuple[int, int]]:
        """The parents that an axis comes from, each with its axis."""
        op, parents = node.op, node.parents
        if isinstance(op, BroadcastTo):
            source = axis - (len(op.to_shape) - len(op.from_shape))
            repeated = source < 0 or op.from_shape[source] < op.to_shape[axis]
            return [] if repeated else [(parents[0], source)]
        if isinstance(op, Permute):
            return [(parents[0], op.perm[axis])]
        if isinstance(op, Transpose):
            exchanged = {op.axis1: op.axis2, op.axis2: op.axis1}
            return [(parents[0], exchanged.get(axis, axis))]
        if isinstance(op, SafeLog):
            return [(parents[0], axis)]
        if op.elementwise:
            return [(parent, axis) for parent in parents]
        if node.shape[axis] > 1 or self._draws(node):
            raise RefusedError(node, f"holds other numbers along axis {axis}")
        return []

    def _draws(self, node: Node) -> bool:
        waiting, seen = [node.id], {node.id}
        while waiting:
            one = self.graph.nodes[waiting.pop()]
            if isinstance(one.op, RandUniform | BernoulliMask):
                return True
            new = [parent for parent in one.parents if parent not in seen]
            seen.update(new)
            waiting += new
        return False

    def require_one_use(self) -> None:
        """Raise where a value that is kept once is wanted as a whole too."""
        if not self.once:
            return
        for output in self.graph.output_ids:
            if output in self.once:
                raise RefusedError(self.graph.nodes[output], _OTHER_USE)
        for node in self.graph.nodes:
            if self.shapes.numbers[node.id] < 0:
                continue
            for parent in node.parents:
                if parent in self.once and (node.id, parent) not in self.uses:
                    raise RefusedError(self.graph.nodes[parent], _OTHER_USE)

    def result(self) -> tuple[Model, NodeShapes]:
        shapes: dict[int, SymbolicShape] = {}
        changed: dict[int, Node] = {}
        params: dict[tuple[int, str], Array] = {}
        for node_id, axes in self.once.items():
            node = self.graph.nodes[node_id]
            kept = tuple([1 if axis in axes else n for axis, n in enumerate(node.shape)])
            op = node.op
            if isinstance(op, Const):
                first = tuple([slice(1 if axis in axes else None) for axis in range(len(kept))])
                params[node_id, "values"] = self.model.params[node_id, "values"][first]
                op = replace(op, shape=kept, value_shape=None)
            shapes[node_id] = kept
            changed[node_id] = structs.replace(node, op=op, shape=kept)
        if self.graph.has_op(HardMaskedSoftmax.tag):
            for node in self.graph.nodes:
                op = node.op
                if isinstance(op, HardMaskedSoftmax) and self.shapes.numbers[node.id] >= 0:
                    narrowed = op.narrowed(lined_up(op.mask.shape, self.shapes[node.id]))
                    changed[node.id] = structs.replace(node, op=narrowed)
        if not changed:
            return self.model, self.shapes
        nodes = tuple([changed.get(node.id, node) for node in self.graph.nodes])
        graph = replace(self.graph, nodes=nodes)
        changed_model = Model(graph, {**self.model.params, **params}, self.model.notes)
        return changed_model, self.shapes.replaced(shapes)
