"""Which values of `forward` are held when, so that its peak of memory is that of eager release.

Python frees a value when its last name goes. Where that matters, a value takes over the name of a
large parent that ends with it, and other dead names are deleted, as few lines as keep the peak.
Small values are left alone: a forward pass that holds less than a megabyte has no such lines.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hatch_irpytorch.axes.inference import NodeShapes
from hatch_irpytorch.emit.fusion.ops import FusedLinears
from hatch_irpytorch.emit.plan import Variables
from hatch_irpytorch.ir.graph import Graph, Node
from hatch_irpytorch.ir.shapes import numel
from hatch_irpytorch.ir.symbolic import Product, Symbol, SymbolicShape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

SMALL = 2**18
"""Entries that may be held in any case: a megabyte of float32. A value of as many is large: it is
given back at once, as allocators ask the kernel for its memory, and pages cost time."""

ROWS = 64
"""A batch of any size is taken to have so many rows."""

_LARGEST = 2**38
"""More entries than any machine holds: values count as no larger, so that sums fit 64 bits."""

_WITHOUT_MEMORY = frozenset({"input", "const", "rand_uniform"})
_STRIDED_VIEWS = frozenset({"broadcast_to", "part", "permute", "transpose"})
_NO_HEIR = frozenset({"part", "safe_log"})
"""`part` has no line, and `safe_log` reads its second parent after its own name is bound."""
_RESHAPES = frozenset({"reshape", "flatten"})
_SHARING = _WITHOUT_MEMORY | _STRIDED_VIEWS | _RESHAPES | {"detach"}


def assign_variables(graph: Graph, nodes: Sequence[Node], shapes: NodeShapes | None) -> Variables:
    """`v{id}` for each of `nodes`, the live ones in order, and what keeps the peak low.

    `shapes` say which of them have a free batch.
    """
    names = [f"v{node_id}" for node_id in range(len(graph.nodes))]
    sizes = _sizes(graph)
    if shapes is not None:
        sizes *= np.array([_rows(shape) for shape in shapes.table])[np.array(shapes.numbers)]
    if sizes.sum() > SMALL:
        memory = _Memory(graph, nodes, sizes)
        bound = max(memory.peak(), SMALL)
        if memory.size.sum() > bound:
            return _Assignment(memory, nodes, bound, names).run()
    return Variables(names, {}, frozenset())


def _sizes(graph: Graph) -> Integers:
    """The entries of every node's value."""
    return _by_node(graph, [_size(node) for node in graph.signature_nodes])


def _rows(shape: SymbolicShape) -> int:
    """How many times the declared entries a free batch is taken to have."""
    symbols = [
        factor
        for extent in shape
        if isinstance(extent, Product)
        for factor in extent.factors
        if isinstance(factor, Symbol) and factor.batch
    ]
    return max([1, *(ROWS // symbol.size for symbol in symbols)])


def _by_node(graph: Graph, of_signatures: list[int]) -> Integers:
    """What is known of every signature, node by node."""
    found: Integers = np.array(of_signatures, dtype=np.int64)[graph.signature_ids]
    return found


def _size(node: Node) -> int:
    if isinstance(node.op, FusedLinears):
        return min(_LARGEST, numel(node.shape[:-1]) * sum(node.op.widths))
    return min(_LARGEST, numel(node.shape))


class _Memory:
    """By node, the entries it allocates, whose memory it shares, and which node uses it last.

    What the caller or the module holds anyway, the input and the parameters, takes no entries.
    Values of the outputs are never used last: `last` is then the number of nodes.
    """

    def __init__(self, graph: Graph, nodes: Sequence[Node], sizes: Integers) -> None:
        self.count = len(graph.nodes)
        everything = len(nodes) == self.count
        self.ids = np.arange(self.count) if everything else np.array([node.id for node in nodes])
        self.owner = np.arange(self.count)
        self.size = np.zeros(self.count, dtype=np.int64)
        self.size[self.ids] = sizes[self.ids]
        self.sharing: list[int] = []
        shares = _by_node(graph, [node.op.tag in _SHARING for node in graph.signature_nodes]) > 0
        self._share([graph.nodes[i] for i in self.ids[shares[self.ids]].tolist()])
        users, uses = graph.uses
        if not everything:
            live = np.zeros(self.count, dtype=np.bool_)
            live[self.ids] = True
            users, uses = users[live[users]], uses[live[users]]
        self.last = np.full(self.count, self.count)
        self.last[uses] = users
        self.last[list(graph.output_ids)] = self.count
        self.first_use = np.zeros(self.count, dtype=np.int64)
        self.first_use[uses[::-1]] = np.arange(len(uses))[::-1]

    def _share(self, nodes: Sequence[Node]) -> None:
        strided: set[int] = set()
        for node in nodes:
            kind = node.op.tag
            if kind in _WITHOUT_MEMORY:
                self.size[node.id] = 0
            elif kind not in _RESHAPES or node.parents[0] not in strided:
                self.size[node.id] = 0
                self.owner[node.id] = self.owner[node.parents[0]]
                self.sharing.append(node.id)
                if kind in _STRIDED_VIEWS or node.parents[0] in strided:
                    strided.add(node.id)

    def peak(self) -> int:
        """The entries held at most when every value is released after its last use."""
        death = self.last.copy()
        for value in self.sharing:
            owner = self.owner[value]
            death[owner] = max(death[owner], self.last[value])
        order = np.argsort(death, kind="stable")
        freed = np.concatenate([[0], np.cumsum(self.size[order])])
        before = np.searchsorted(death[order], np.arange(self.count))
        return int(np.max(np.cumsum(self.size) - freed[before]))


class _Assignment:
    """Names for the values, with no more than `bound` entries held where that can be.

    Values only pile up until the next would not fit, so that node is looked for by bisection.
    """

    def __init__(
        self, memory: _Memory, nodes: Sequence[Node], bound: int, names: list[str]
    ) -> None:
        self.nodes = nodes
        self.bound = bound
        self.owner: Sequence[int] = memory.owner.data
        self.size: Sequence[int] = memory.size.data
        self.first_use = memory.first_use
        self.sharing = memory.sharing
        self.shared = 0
        self.named = [1] * memory.count
        """By owner, how many names its memory has."""
        self.freed = 0
        self.ids: Sequence[int] = memory.ids.data
        self.allocated: Sequence[int] = np.cumsum(memory.size[memory.ids]).data
        mortal = (memory.last < memory.count) & (memory.size[memory.owner] > 0)
        values = np.flatnonzero(mortal)
        values = values[np.argsort(memory.last[values], kind="stable")]
        self.dying: list[int] = values.tolist()
        """Values in the order of their last use."""
        deaths = memory.last[values]
        self.dying_with: Sequence[int] = np.searchsorted(
            deaths, np.append(memory.ids, memory.count)
        ).data
        """By position, where the values that end with its node, or later, start in `dying`."""
        self.deleted_to = 0
        self.inherited = bytearray(memory.count)
        large = values[memory.size[memory.owner[values]] >= SMALL]
        ends = np.zeros(memory.count, dtype=np.bool_)
        ends[memory.last[large]] = True
        self.heirs: list[int] = np.flatnonzero(ends[memory.ids[:-1]]).tolist()
        """Positions of nodes with which large values end, but for the last node."""
        self.of = names
        self.deleted: dict[int, tuple[str, ...]] = {}
        self.renamed: set[int] = set()

    def run(self) -> Variables:
        heirs = iter([*self.heirs, len(self.ids)])
        heir = next(heirs)
        position = 0
        while True:
            if self._fits_up_to(heir, position):
                if heir == len(self.ids):
                    return Variables(self.of, self.deleted, frozenset(self.renamed))
                self._take_name(heir, SMALL)
                position, heir = heir, next(heirs)
                continue
            position = bisect_right(self.allocated, self._limit(), lo=position + 1)
            if not self._any_dead_before(position - 1):
                self._take_name(position - 1, self.allocated[position] - self._limit())
            if self.allocated[position] > self._limit():
                self._delete_before(position)

    def _limit(self) -> int:
        """How many entries may have been allocated so far."""
        return self.bound + self.freed

    def _fits_up_to(self, position: int, start: int) -> bool:
        """Whether the values after position `start` fit, those of a position and before."""
        last = min(position, len(self.ids) - 1)
        return last <= start or self.allocated[last] <= self._limit()

    def _any_dead_before(self, position: int) -> bool:
        """Whether a name that is dead before a node has not been given up yet."""
        end = self.dying_with[position]
        while self.deleted_to < end and self.inherited[self.dying[self.deleted_to]]:
            self.deleted_to += 1
        return self.deleted_to < end

    def _delete_before(self, position: int) -> None:
        """Delete all names that are dead before a node."""
        end = self.dying_with[position]
        dead = sorted(self.dying[self.deleted_to : end])
        self.deleted_to = end
        if self.renamed:
            dead = [value for value in dead if not self.inherited[value]]
        if dead:
            names = [self.of[value] for value in dead]
            if self.renamed:
                names.sort(key=_number)
            self.deleted[self.ids[position]] = tuple(names)
            self._release(dead, position)

    def _release(self, values: Iterable[int], position: int) -> None:
        """Take away names of values that stand before a position."""
        self._count_views(position)
        for value in values:
            owner = self.owner[value]
            self.named[owner] -= 1
            if not self.named[owner]:
                self.freed += self.size[owner]

    def _count_views(self, position: int) -> None:
        """Count the names of views that stand before a position."""
        end = bisect_left(self.sharing, self.ids[position], lo=self.shared)
        for value in self.sharing[self.shared : end]:
            self.named[self.owner[value]] += 1
        self.shared = end

    def _take_name(self, position: int, wanted: int) -> None:
        """Give a node the name of a parent that ends with it and frees as many entries."""
        node = self.nodes[position]
        if node.id in self.renamed or node.op.tag in _NO_HEIR:
            return
        self._count_views(position + 1)
        ending = self.dying[self.dying_with[position] : self.dying_with[position + 1]]
        for value in sorted(ending, key=self.first_use.__getitem__):
            owner = self.owner[value]
            if (self.size[owner] if self.named[owner] == 1 else 0) >= wanted:
                self.of[node.id] = self.of[value]
                self.renamed.add(node.id)
                self.inherited[value] = True
                self._release([value], position + 1)
                return


def _number(name: str) -> int:
    """The id in the name of a variable."""
    return int(name[1:])
