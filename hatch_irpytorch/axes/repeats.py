"""Values that stand for every sample alike, made to hold what one sample needs.

A const of the declared batch, `(4, 10)`, goes with any batch only when its rows are equal; then it
is `(1, 10)`, which PyTorch repeats by itself. Where the batch shares its axis, `(8 * N, 16)`, and
the const differs from block to block, it holds one block, which its user repeats.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from msgspec import structs

from hatch_irpytorch.axes.inference import NodeShapes, RefusedError
from hatch_irpytorch.ir.graph import Graph, Model, Node
from hatch_irpytorch.ir.ops import Const
from hatch_irpytorch.ir.ops.base import Tile
from hatch_irpytorch.ir.ops.movement import BroadcastTo, Flatten, Reshape
from hatch_irpytorch.ir.ops.softmaxes import HardMaskedSoftmax
from hatch_irpytorch.ir.ops.sources import BernoulliMask, RandUniform
from hatch_irpytorch.ir.regrouping import regrouped
from hatch_irpytorch.ir.shapes import numel
from hatch_irpytorch.ir.symbolic import (
    NotFreeError,
    Product,
    Symbol,
    SymbolicShape,
    block,
    factor_size,
    only_symbols,
    size,
)

if TYPE_CHECKING:
    from hatch_irpytorch.ir.graph import Array

_MAX_ALONE = 8
"""Of how many parents an axis may come from one alone: a product has two."""

_OTHER_USE = "is used for each sample and as a whole"


@dataclass(frozen=True)
class _Held:
    """An axis of a node that holds its entries once for each of a symbol: a block of them."""

    node: int
    axis: int
    extent: Product


@dataclass(frozen=True)
class WithoutRepeats:
    """A model whose values hold what one sample needs, their shapes, and what users repeat."""

    model: Model
    shapes: NodeShapes
    tiles: dict[int, tuple[Tile, ...]]


def without_repeats(model: Model, shapes: NodeShapes) -> WithoutRepeats:
    """The model with every such value made once. Raises `RefusedError` where one differs."""
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
        self.held: dict[int, dict[int, Product]] = {}
        """By node and axis, the extent that is held for one of its symbol."""
        self.uses: dict[tuple[int, int], set[int]] = {}
        """By user and the place of a parent there, the axes that it takes as held."""
        self.followed: set[_Held] = set()
        self.tiles: dict[int, tuple[Tile, ...]] = {}

    def look(self) -> None:
        """Find out which parents stand for free extents of their users."""
        nodes, forms = self.graph.nodes, self.shapes.forms
        one_of_form = dict(zip(forms, nodes, strict=True))
        repeats = {form: self._repeats(n) for form, n in one_of_form.items() if form >= 0}
        if not any(repeats.values()):
            return
        for node, form in zip(nodes, forms, strict=True):
            for repeat in repeats.get(form, ()):
                self._hold_once(node, repeat)

    def _repeats(self, node: Node) -> tuple[Tile, ...]:
        """Places of parents that stand for free extents of a node."""
        out = self.shapes[node.id]
        return tuple(
            Tile(place, axis, extent)
            for place, parent in enumerate(node.parents)
            for axis, extent in node.op.repeats(self.shapes[parent], out)
        )

    def _hold_once(self, user: Node, repeat: Tile) -> None:
        """Have a parent hold one entry for a free extent, or else one block of entries."""
        parent = self.graph.nodes[user.parents[repeat.place]]
        count = parent.shape[repeat.axis]
        if count == 1 and not self.has_draws:
            return
        whole = Product((Symbol("N", count, batch=True),))
        try:
            self._hold(_Held(parent.id, repeat.axis, whole), user, repeat.place)
        except RefusedError:
            symbols = only_symbols(repeat.extent).factors
            is_block = len(repeat.extent.factors) > len(symbols) == 1
            if not is_block or count != size(repeat.extent):
                raise
            self._hold(_Held(parent.id, repeat.axis, repeat.extent), user, repeat.place)
            self.tiles[user.id] = (*self.tiles.get(user.id, ()), repeat)

    def _hold(self, start: _Held, user: Node, place: int) -> None:
        """Have a node, and those it is made of, hold an axis once. Raises `RefusedError`."""
        found = [(start, user.id, place)]
        seen = {start}
        waiting = [start]
        while waiting:
            held = waiting.pop()
            if held in self.followed:
                continue
            if self.held.get(held.node, {}).get(held.axis, held.extent) != held.extent:
                raise RefusedError(self.graph.nodes[held.node], _OTHER_USE)
            for made_of in self._made_of(held):
                parents = enumerate(self.graph.nodes[held.node].parents)
                found += [(made_of, held.node, at) for at, one in parents if one == made_of.node]
                if made_of not in seen:
                    seen.add(made_of)
                    waiting.append(made_of)
        self.followed |= seen
        for held, by, at in found:
            if block(held.extent) < size(held.extent):
                self.held.setdefault(held.node, {})[held.axis] = held.extent
                self.uses.setdefault((by, at), set()).add(held.axis)

    def _made_of(self, held: _Held) -> list[_Held]:
        """The axes of parents that an axis comes from. Raises `RefusedError`."""
        node = self.graph.nodes[held.node]
        op = node.op
        if isinstance(op, RandUniform | BernoulliMask):
            raise RefusedError(node, "draws other numbers for each sample")
        if isinstance(op, Const):
            if not _holds_once(self.model.params[node.id, "values"], held):
                raise RefusedError(node, f"holds other numbers along axis {held.axis}")
            return []
        if isinstance(op, BroadcastTo):
            source = held.axis - (len(op.to_shape) - len(op.from_shape))
            if source < 0 or op.from_shape[source] < op.to_shape[held.axis]:
                return []
        wanted = _with(node.shape, held.axis, held.extent)
        for candidate in self._candidates(node, held, wanted):
            if _carries(node, candidate, wanted):
                held_by = dict(zip(node.parents, candidate, strict=True))
                return [
                    _Held(parent, axis, extent)
                    for parent, shape in held_by.items()
                    for axis, extent in enumerate(shape)
                    if isinstance(extent, Product)
                ]
        if size(held.extent) > block(held.extent) or self._draws(node):
            raise RefusedError(node, f"holds other numbers along axis {held.axis}")
        return []

    def _candidates(
        self, node: Node, held: _Held, wanted: SymbolicShape
    ) -> Iterator[tuple[SymbolicShape, ...]]:
        """Shapes of the parents that an axis of a node may come from: of all, or of one alone."""
        shapes = [self.graph.nodes[parent].shape for parent in node.parents]
        count = node.shape[held.axis]
        if isinstance(node.op, Reshape | Flatten):
            try:
                yield from ((view,) for view in regrouped(wanted, shapes[0]))
            except NotFreeError:
                return
        for back in range(1, min(map(len, shapes), default=0) + 1):
            if all(shape[-back] == count for shape in shapes):
                yield tuple([_with(shape, len(shape) - back, held.extent) for shape in shapes])
        for place, shape in enumerate(shapes[:_MAX_ALONE]):
            for axis, extent in enumerate(shape):
                if extent == count:
                    alone = _with(shape, axis, held.extent)
                    yield (*shapes[:place], alone, *shapes[place + 1 :])

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
        """Raise where a value that is held once is wanted as a whole too."""
        if not self.held:
            return
        for output in self.graph.output_ids:
            if output in self.held:
                raise RefusedError(self.graph.nodes[output], _OTHER_USE)
        for node in self.graph.nodes:
            if self.shapes.numbers[node.id] < 0:
                continue
            for place, parent in enumerate(node.parents):
                axes = self.held.get(parent)
                if axes and self.uses.get((node.id, place)) != set(axes):
                    raise RefusedError(self.graph.nodes[parent], _OTHER_USE)

    def result(self) -> WithoutRepeats:
        shapes: dict[int, SymbolicShape] = {}
        changed: dict[int, Node] = {}
        params: dict[tuple[int, str], Array] = {}
        for node_id, axes in self.held.items():
            node = self.graph.nodes[node_id]
            kept = tuple(
                [block(axes[axis]) if axis in axes else n for axis, n in enumerate(node.shape)]
            )
            op = node.op
            if isinstance(op, Const):
                array = self.model.params[node_id, "values"]
                for axis, extent in axes.items():
                    array = _first_of(array, axis, extent).reshape(
                        (*array.shape[:axis], block(extent), *array.shape[axis + 1 :])
                    )
                params[node_id, "values"] = array
                op = replace(op, shape=kept, value_shape=None)
            extents = enumerate(self.shapes[node_id])
            shapes[node_id] = tuple(
                [kept[axis] if axis in axes else extent for axis, extent in extents]
            )
            changed[node_id] = structs.replace(node, op=op, shape=kept)
        if self.graph.has_op(HardMaskedSoftmax.tag):
            for node in self.graph.nodes:
                if isinstance(node.op, HardMaskedSoftmax) and self.shapes.numbers[node.id] >= 0:
                    shape = self.shapes[node.id]
                    for axis, extent in self.held.get(node.id, {}).items():
                        shape = _with(shape, axis, extent)
                    narrowed = node.op.narrowed(shape)
                    changed[node.id] = structs.replace(changed.get(node.id, node), op=narrowed)
        if not changed:
            return WithoutRepeats(self.model, self.shapes, self.tiles)
        nodes = tuple([changed.get(node.id, node) for node in self.graph.nodes])
        graph = replace(self.graph, nodes=nodes)
        model = replace(self.model, graph=graph, params={**self.model.params, **params})
        return WithoutRepeats(model, self.shapes.replaced(shapes).of(graph), self.tiles)


def _with(shape: SymbolicShape, axis: int, extent: Product) -> SymbolicShape:
    return (*shape[:axis], extent, *shape[axis + 1 :])


def _carries(node: Node, parents: tuple[SymbolicShape, ...], wanted: SymbolicShape) -> bool:
    """Whether a node whose parents have these shapes may have the wanted one."""
    if len(set(zip(node.parents, parents, strict=True))) > len(set(node.parents)):
        return False
    try:
        return wanted in node.op.infer_symbolic(node.shape, *parents)
    except NotFreeError:
        return False


def _split(array: Array, axis: int, extent: Product) -> Array:
    """An array with the symbol of an axis on an axis of its own, the next one."""
    place = next(i for i, factor in enumerate(extent.factors) if not isinstance(factor, int))
    sizes = [factor_size(factor) for factor in extent.factors]
    outside, inside = numel(tuple(sizes[:place])), numel(tuple(sizes[place + 1 :]))
    shape = (*array.shape[:axis], outside, sizes[place], inside, *array.shape[axis + 1 :])
    return array.reshape(shape)


def _first_of(array: Array, axis: int, extent: Product) -> Array:
    """What an array holds for the first of a symbol."""
    return _split(array, axis, extent).take([0], axis=axis + 1)


def _holds_once(array: Array, held: _Held) -> bool:
    """Whether an array holds the same for each of a symbol, to the sign of a zero."""
    split = _split(array, held.axis, held.extent)
    first = split.take([0], axis=held.axis + 1)
    return bool((split == first).all() and (np.signbit(split) == np.signbit(first)).all())
