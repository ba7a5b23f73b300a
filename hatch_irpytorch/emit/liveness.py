"""Which values of `forward` are held when, so that its peak of memory is that of eager release.

Python frees a value when its last name goes. Where that matters, dead names are deleted, as few
lines as keep the peak, and in a run without slack a value takes over the name of its dead parent.
Small values are left alone: a forward pass that holds less than a megabyte has no such lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hatch_irpytorch.emit.fusion.ops import FusedLinears
from hatch_irpytorch.ir.graph import Graph, Node, numel

SMALL = 2**18
"""Entries that may be held in any case: a megabyte of float32."""

_WITHOUT_MEMORY = frozenset({"input", "const", "rand_uniform"})
_STRIDED_VIEWS = frozenset({"broadcast_to", "part", "permute", "transpose"})
_NO_HEIR = frozenset({"part", "safe_log"})
"""`part` has no line, and `safe_log` reads its second parent after its own name is bound."""
_RESHAPES = frozenset({"reshape", "flatten"})
_SHARING = _WITHOUT_MEMORY | _STRIDED_VIEWS | _RESHAPES | {"detach"}


@dataclass(frozen=True)
class Variables:
    """The variable of each node, and the names that are deleted before a node is computed."""

    of: dict[int, str]
    deleted: dict[int, tuple[str, ...]]


def assign_variables(graph: Graph, nodes: Sequence[Node]) -> Variables:
    """`v{id}` for each of `nodes`, the live ones in order, and what keeps the peak low."""
    entries = _entries(nodes)
    if sum(entries) > SMALL:
        memory = _Memory(graph, nodes, entries)
        peak = memory.peak()
        if memory.total > max(peak, SMALL):
            return _Assignment(memory, nodes, max(peak, SMALL)).run()
    return Variables({node.id: f"v{node.id}" for node in nodes}, {})


class _Memory:
    """Sizes in entries, by node: what it allocates, whose memory it shares, and what dies with it.

    What the caller or the module holds anyway, the input and the parameters, never dies.
    """

    def __init__(self, graph: Graph, nodes: Sequence[Node], entries: Sequence[int]) -> None:
        self.nodes = nodes
        count = len(graph.nodes)
        self.owner = list(range(count))
        self.size = [0] * count
        self.dying: dict[int, list[int]] = {}
        self._place(nodes, entries)
        last_use: dict[int, int] = {}
        for node in nodes:
            for parent in node.parents:
                last_use[parent] = node.id
        for output in graph.output_ids:
            last_use.pop(output, None)
        owner, size, dying = self.owner, self.size, self.dying
        for value, user in last_use.items():
            if size[owner[value]]:
                dying.setdefault(user, []).append(value)
        self.total = sum(size)

    def _place(self, nodes: Sequence[Node], entries: Sequence[int]) -> None:
        strided: set[int] = set()
        owner = self.owner
        for node, size in zip(nodes, entries, strict=True):
            kind = node.op.tag
            if kind not in _SHARING:
                self.size[node.id] = size
            elif kind in _WITHOUT_MEMORY:
                continue
            elif kind in _RESHAPES and node.parents[0] in strided:
                self.size[node.id] = size
            else:
                owner[node.id] = owner[node.parents[0]]
                if kind in _STRIDED_VIEWS or node.parents[0] in strided:
                    strided.add(node.id)

    def peak(self) -> int:
        """The entries held at most when every value is released after its last use."""
        owner, size, dying = self.owner, self.size, self.dying
        names = [0] * len(owner)
        held = peak = 0
        for node in self.nodes:
            value = owner[node.id]
            if not names[value]:
                held += size[value]
                peak = max(peak, held)
            names[value] += 1
            for dead in dying.get(node.id, ()):
                value = owner[dead]
                names[value] -= 1
                if not names[value]:
                    held -= size[value]
        return peak


def _entries(nodes: Sequence[Node]) -> list[int]:
    entries = [numel(node.shape) for node in nodes]
    for index, node in enumerate(nodes):
        if isinstance(node.op, FusedLinears):
            entries[index] = numel(node.shape[:-1]) * sum(node.op.widths)
    return entries


class _Held:
    """The values with a name, and the entries that they keep."""

    def __init__(self, memory: _Memory) -> None:
        self.owner = memory.owner
        self.size = memory.size
        self.entries = 0
        self.names = [0] * len(memory.owner)

    def add(self, value: int) -> None:
        owner = self.owner[value]
        if not self.names[owner]:
            self.entries += self.size[owner]
        self.names[owner] += 1

    def release(self, values: Iterable[int]) -> None:
        names = self.names
        for value in values:
            owner = self.owner[value]
            names[owner] -= 1
            if not names[owner]:
                self.entries -= self.size[owner]


class _Assignment:
    def __init__(self, memory: _Memory, nodes: Sequence[Node], bound: int) -> None:
        self.memory = memory
        self.nodes = nodes
        self.bound = bound
        self.held = _Held(memory)
        self.dead: list[int] = []
        self.variables = Variables({}, {})

    def run(self) -> Variables:
        held, bound, size, names = self.held, self.bound, self.memory.size, self.variables.of
        for node, following in zip(self.nodes, [*self.nodes[1:], None], strict=True):
            if self.dead and held.entries + size[node.id] > bound:
                self._delete_before(node)
            held.add(node.id)
            dying = self.memory.dying.get(node.id)
            heir = None
            if dying and following is not None and held.entries + size[following.id] > bound:
                heir = self._parent_that_gives_its_name(node, dying, size[following.id])
            if heir is None:
                names[node.id] = f"v{node.id}"
            else:
                names[node.id] = names[heir]
                held.release([heir])
            if dying:
                self.dead += [value for value in dying if value != heir]
        return self.variables

    def _delete_before(self, node: Node) -> None:
        names = tuple(self.variables.of[value] for value in sorted(self.dead))
        self.variables.deleted[node.id] = names
        self.held.release(self.dead)
        self.dead = []

    def _parent_that_gives_its_name(
        self, node: Node, dying: Sequence[int], wanted: int
    ) -> int | None:
        """A dying value whose release alone makes room for the entries wanted next."""
        if self.dead or node.op.tag in _NO_HEIR:
            return None
        room = self.bound - self.held.entries
        for value in dying:
            owner = self.memory.owner[value]
            freed = self.memory.size[owner] if self.held.names[owner] == 1 else 0
            if wanted <= room + freed:
                return value
        return None
