"""Symbolic shape inference over a graph: a free shape for every value, or the node without one.

Almost every op leaves one shape. A reshape of one sample may leave several, since an extent of 1
can be carried in several places; then those are kept that no later op rules out, and the likeliest
of what is left is taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from hatch_irpytorch.ir.graph import Graph, Node
from hatch_irpytorch.ir.symbolic import NotFreeError, SymbolicShape, is_free

_MAX_COMBINATIONS = 64

Shapes = tuple[SymbolicShape, ...]
"""What the shape of one value may be, the likeliest first."""


class RefusedError(Exception):
    """A node cannot leave its extents free, and why."""

    def __init__(self, node: Node, reason: str) -> None:
        self.node = node
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True)
class NodeShapes:
    """The symbolic shapes of nodes: equal ones have one number. `numbers` and `forms` are by node.

    Nodes of one form have equal signatures, and so have their shapes and those of their parents.
    A node that no output depends on has -1 for both.
    """

    table: Sequence[SymbolicShape]
    numbers: Sequence[int]
    forms: Sequence[int]

    def __getitem__(self, node_id: int) -> SymbolicShape:
        return self.table[self.numbers[node_id]]

    def of(self, graph: Graph) -> NodeShapes:
        """The same for a graph some of whose nodes were replaced by others of equal value."""
        known: dict[tuple[int, ...], int] = {}
        numbers, forms = self.numbers, [-1] * len(graph.nodes)
        for node, signature in zip(graph.nodes, graph.signatures, strict=True):
            if numbers[node.id] >= 0:
                parents = [numbers[parent] for parent in node.parents]
                key = (signature, numbers[node.id], *parents)
                forms[node.id] = known.setdefault(key, len(known))
        return replace(self, forms=forms)

    def replaced(self, shapes: Mapping[int, SymbolicShape]) -> NodeShapes:
        """The same with other shapes for some nodes."""
        numbers, table = list(self.numbers), {shape: i for i, shape in enumerate(self.table)}
        for node_id, shape in shapes.items():
            numbers[node_id] = table.setdefault(shape, len(table))
        return replace(self, table=[*table], numbers=numbers)


def infer_shapes(graph: Graph, entry: SymbolicShape) -> NodeShapes:
    """The symbolic shape of each live node when the input has `entry`. Raises `RefusedError`."""
    inference = _Inference(graph)
    found, forms = inference.forward(entry)
    if all(len(shapes) == 1 for shapes in inference.sets):
        return NodeShapes([shapes[0] for shapes in inference.sets], found, forms)
    return _Choice(inference, found).run()


class _Inference:
    """Rules asked once for nodes that are alike. Sets of possible shapes are known by number."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.sets: list[Shapes] = []
        self.numbers: dict[Shapes, int] = {}

    def number(self, shapes: Shapes) -> int:
        found = self.numbers.get(shapes)
        if found is None:
            found = self.numbers[shapes] = len(self.sets)
            self.sets.append(shapes)
        return found

    def forward(self, entry: SymbolicShape) -> tuple[list[int], list[int]]:
        """By node, the number of the shapes that its parents' leave it, and its form."""
        graph = self.graph
        # A signature and the parents' numbers are the form of a node, and give its own number.
        known: dict[tuple[int, ...], int] = {(graph.signatures[graph.input_id],): 0}
        of_form = [self.number((entry,))]
        live = graph.live_ids()
        found, forms = [-1] * len(graph.nodes), [-1] * len(graph.nodes)
        for node, signature in zip(graph.nodes, graph.signatures, strict=True):
            node_id, parents = node.id, node.parents
            if node_id in live:
                if len(parents) == 1:
                    key: tuple[int, ...] = (signature, found[parents[0]])
                else:
                    key = (signature, *[found[parent] for parent in parents])
                form = known.get(key)
                if form is None:
                    form = known[key] = len(of_form)
                    sets = [self.sets[found[parent]] for parent in parents]
                    of_form.append(self.number(self._possible(node, sets)))
                forms[node_id] = form
                found[node_id] = of_form[form]
        return found, forms

    def _possible(self, node: Node, parents: Sequence[Shapes]) -> Shapes:
        shapes: dict[SymbolicShape, None] = {}
        refused = ""
        for combination in combinations(node, parents):
            try:
                shapes.update(dict.fromkeys(node.op.infer_symbolic(node.shape, *combination)))
            except NotFreeError as error:
                refused = refused or str(error)
        if not shapes:
            raise RefusedError(
                node, refused or "joins values whose batch lies along different axes"
            )
        return tuple(shapes)


def combinations(node: Node, parents: Sequence[Shapes]) -> Iterator[Shapes]:
    """The shapes that the parents of a node may have together; one parent has one at a time."""
    sets = dict(zip(node.parents, parents, strict=True))
    total = 1
    for shapes in sets.values():
        total *= len(shapes)
    if total > _MAX_COMBINATIONS:
        yield from _alike(node, parents)
        return
    for chosen in product(*sets.values()):
        by_parent = dict(zip(sets, chosen, strict=True))
        yield tuple([by_parent[parent] for parent in node.parents])


def _alike(node: Node, parents: Sequence[Shapes]) -> Iterator[Shapes]:
    """Of many parents those shapes that are free on the same axes: no op joins others."""
    by_axes = [{_free_axes(shape): shape for shape in shapes} for shapes in parents]
    for axes in dict.fromkeys(axes for found in by_axes for axes in found if axes):
        chosen = [found.get(axes) or found.get(()) for found in by_axes]
        if all(shape is not None for shape in chosen):
            yield tuple([shape for shape in chosen if shape is not None])


def _free_axes(shape: SymbolicShape) -> tuple[int, ...]:
    return tuple([axis for axis, extent in enumerate(shape) if is_free(extent)])


class _Choice:
    """One shape for every node where inference left several: arcs are made consistent, then the
    first node that has a choice takes its likeliest shape, and so on.
    """

    def __init__(self, inference: _Inference, found: Sequence[int]) -> None:
        self.graph = inference.graph
        self.found = {i: inference.sets[number] for i, number in enumerate(found) if number >= 0}
        self.users: dict[int, list[int]] = {node_id: [] for node_id in self.found}
        for node_id in self.found:
            for parent in self.graph.nodes[node_id].parents:
                self.users[parent].append(node_id)
        self.rules: dict[tuple[int, Shapes], Shapes | str] = {}
        self.before: list[tuple[int, Shapes]] = []
        """What nodes had before they lost some, in order."""
        self.refused: RefusedError | None = None

    def run(self) -> NodeShapes:
        nodes = self.graph.nodes
        several = {node_id for node_id, shapes in self.found.items() if len(shapes) > 1}
        self._require(
            self._narrow([i for i in self.found if not several.isdisjoint((i, *nodes[i].parents))])
        )
        for node_id in (*self.graph.output_ids, *sorted(several)):
            shapes = self.found[node_id]
            if len(shapes) > 1:
                shapes = tuple(sorted(shapes, key=self._is_apart))
                self._require(any(self._take(node_id, shape) for shape in shapes))
        table = {shapes[0]: 0 for shapes in self.found.values()}
        for number, shape in enumerate(table):
            table[shape] = number
        numbers = [-1] * len(nodes)
        for node_id, shapes in self.found.items():
            numbers[node_id] = table[shapes[0]]
        return NodeShapes([*table], numbers, ()).of(self.graph)

    def _is_apart(self, shape: SymbolicShape) -> bool:
        """Whether a shape has no free axis where the input has one."""
        (entry,) = self.found[self.graph.input_id]
        free = [axis for axis, extent in enumerate(entry) if is_free(extent)]
        return not all(shape[axis : axis + 1] == (entry[axis],) for axis in free)

    def _require(self, holds: bool) -> None:
        if not holds:
            assert self.refused is not None
            raise self.refused

    def _take(self, node_id: int, shape: SymbolicShape) -> bool:
        """Whether the other nodes leave a node this shape; if not, nothing changes."""
        self.before.clear()
        self._keep(node_id, (shape,))
        if self._narrow([node_id, *self.users[node_id]]):
            return True
        for changed, shapes in reversed(self.before):
            self.found[changed] = shapes
        return False

    def _keep(self, node_id: int, shapes: Shapes) -> None:
        self.before.append((node_id, self.found[node_id]))
        self.found[node_id] = shapes

    def _narrow(self, start: Sequence[int]) -> bool:
        """Drop every shape that no shape of a neighbour allows, starting from some nodes."""
        waiting = deque(start)
        queued = set(start)
        while waiting:
            node_id = waiting.popleft()
            queued.discard(node_id)
            for changed in self._revised(self.graph.nodes[node_id]):
                if not self.found[changed]:
                    return False
                new = [one for one in (changed, *self.users[changed]) if one not in queued]
                queued.update(new)
                waiting.extend(new)
        return True

    def _revised(self, node: Node) -> list[int]:
        """The nodes among a node and its parents that have fewer shapes now."""
        if node.id == self.graph.input_id:
            return []
        kept: dict[int, set[SymbolicShape]] = {one: set() for one in (node.id, *node.parents)}
        refused = "joins values whose batch lies along different axes"
        for combination in combinations(node, [self.found[parent] for parent in node.parents]):
            possible = self._rule(node, combination)
            if isinstance(possible, str):
                refused = possible
                continue
            allowed = [shape for shape in possible if shape in self.found[node.id]]
            if allowed:
                kept[node.id].update(allowed)
                for parent, shape in zip(node.parents, combination, strict=True):
                    kept[parent].add(shape)
        if not kept[node.id]:
            self.refused = RefusedError(node, refused)
        changed = [one for one, shapes in kept.items() if len(shapes) < len(self.found[one])]
        for one in changed:
            self._keep(one, tuple([shape for shape in self.found[one] if shape in kept[one]]))
        return changed

    def _rule(self, node: Node, parents: Shapes) -> Shapes | str:
        """What the shape of a node may be, or why it has none."""
        key = (self.graph.signatures[node.id], parents)
        found = self.rules.get(key)
        if found is None:
            try:
                found = tuple(node.op.infer_symbolic(node.shape, *parents))
            except NotFreeError as error:
                found = str(error)
            self.rules[key] = found
        return found
