"""Values that hold one number for every index of a free extent: made to hold it once.

A const of the declared batch, `(4, 10)`, goes with any batch only when its rows are equal;
then it is `(1, 10)`, which PyTorch repeats by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from msgspec import structs

from hatch_irpytorch.axes.inference import NodeShapes, RefusedError
from hatch_irpytorch.ir.graph import Graph, Model, Node
from hatch_irpytorch.ir.ops import Const
from hatch_irpytorch.ir.ops.movement import BroadcastTo
from hatch_irpytorch.ir.ops.softmaxes import HardMaskedSoftmax
from hatch_irpytorch.ir.ops.sources import BernoulliMask, RandUniform
from hatch_irpytorch.ir.symbolic import NotFreeError, Product, Symbol, SymbolicShape, lined_up

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


def _holds_once(array: Array, axis: int) -> bool:
    """Whether all entries along an axis are the same, to the sign of a zero."""
    first = array.take([0], axis=axis)
    return bool((array == first).all() and (np.signbit(array) == np.signbit(first)).all())


class _Repeats:
    def __init__(self, model: Model, shapes: NodeShapes) -> None:
        self.model = model
        self.graph: Graph = model.graph
        self.shapes = shapes
        self.has_draws = any(map(self.graph.has_op, (RandUniform.tag, BernoulliMask.tag)))
        self.seen: dict[int, set[int]] = {}
        """By node, the axes along which its entries have to be kept once."""
        self.uses: set[tuple[int, int]] = set()
        """User and used, where the user takes a value that is kept once."""

    def look(self) -> None:
        """Find out which parents stand for free extents of their users."""
        known: dict[int, tuple[tuple[int, int], ...]] = {}
        for node, form in zip(self.graph.nodes, self.shapes.forms, strict=True):
            if form not in known:
                known[form] = self._repeats(node) if form >= 0 else ()
            for parent, axis in known[form]:
                self._keep_once(self.graph.nodes[node.parents[parent]], axis, node)

    def _repeats(self, node: Node) -> tuple[tuple[int, int], ...]:
        """Places of parents that stand for a free extent of a node, each with an axis."""
        out = self.shapes[node.id]
        places = enumerate(node.parents)
        return tuple(
            (place, axis)
            for place, parent in places
            for axis in node.op.repeats(self.shapes[parent], out)
        )

    def _keep_once(self, node: Node, axis: int, user: Node) -> None:
        """Keep a node's entries along an axis once, and those it is made of."""
        waiting = [(node, axis, user)]
        while waiting:
            node, axis, user = waiting.pop()
            extent = node.shape[axis]
            if extent == 1 and not self.has_draws:
                continue
            if extent > 1:
                self.uses.add((user.id, node.id))
            axes = self.seen.setdefault(node.id, set())
            if axis not in axes:
                axes.add(axis)
                made_of = self._made_of(node, axis)
                waiting += [(self.graph.nodes[parent], at, node) for parent, at in made_of]

    def _made_of(self, node: Node, axis: int) -> list[tuple[int, int]]:
        """The parents that an axis comes from, each with its axis. Raises `RefusedError`."""
        op = node.op
        if isinstance(op, RandUniform | BernoulliMask):
            raise RefusedError(node, "draws other numbers for each sample")
        if isinstance(op, Const):
            if not _holds_once(self.model.params[node.id, "values"], axis):
                raise RefusedError(node, f"holds other numbers along axis {axis}")
            return []
        if isinstance(op, BroadcastTo):
            source = axis - (len(op.to_shape) - len(op.from_shape))
            if source < 0 or op.from_shape[source] < op.to_shape[axis]:
                return []
        for places in self._candidates(node):
            if self._carries(node, axis, dict(places)):
                return places
        if node.shape[axis] > 1 or self._draws(node):
            raise RefusedError(node, f"holds other numbers along axis {axis}")
        return []

    def _candidates(self, node: Node) -> Iterator[list[tuple[int, int]]]:
        """Axes of parents that an axis of a node may come from: of all, or of one alone."""
        shapes = {parent: self.graph.nodes[parent].shape for parent in node.parents}
        if len(shapes) > 1:
            for back in range(1, min(map(len, shapes.values())) + 1):
                yield [(parent, len(shape) - back) for parent, shape in shapes.items()]
        for parent, shape in shapes.items():
            for axis in range(len(shape)):
                yield [(parent, axis)]

    def _carries(self, node: Node, axis: int, places: dict[int, int]) -> bool:
        """Whether a node carries a batch from these axes of its parents to an axis of its own."""
        batch = Product((Symbol("N", node.shape[axis], batch=True),))
        parents: list[SymbolicShape] = []
        for parent in node.parents:
            shape, place = self.graph.nodes[parent].shape, places.get(parent)
            if place is not None and shape[place] != node.shape[axis]:
                return False
            parents.append(tuple([batch if i == place else n for i, n in enumerate(shape)]))
        wanted = tuple([batch if i == axis else n for i, n in enumerate(node.shape)])
        try:
            return wanted in node.op.infer_symbolic(node.shape, *parents)
        except NotFreeError:
            return False

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
        if not self.uses:
            return
        once = {used for _, used in self.uses}
        for output in self.graph.output_ids:
            if output in once:
                raise RefusedError(self.graph.nodes[output], _OTHER_USE)
        for node in self.graph.nodes:
            if self.shapes.numbers[node.id] < 0:
                continue
            for parent in node.parents:
                if parent in once and (node.id, parent) not in self.uses:
                    raise RefusedError(self.graph.nodes[parent], _OTHER_USE)

    def result(self) -> tuple[Model, NodeShapes]:
        shapes: dict[int, SymbolicShape] = {}
        changed: dict[int, Node] = {}
        params: dict[tuple[int, str], Array] = {}
        for node_id in sorted({used for _, used in self.uses}):
            node, axes = self.graph.nodes[node_id], self.seen[node_id]
            kept = tuple([1 if axis in axes else n for axis, n in enumerate(node.shape)])
            op = node.op
            if isinstance(op, Const):
                first = tuple([slice(1 if axis in axes else None) for axis in range(len(kept))])
                params[node_id, "values"] = self.model.params[node_id, "values"][first]
                op = replace(op, shape=kept, value_shape=None)
            extents = enumerate(self.shapes[node_id])
            shapes[node_id] = tuple([1 if axis in axes else extent for axis, extent in extents])
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
        return changed_model, self.shapes.replaced(shapes).of(graph)
