"""Which values of `forward` are held when, so that its peak of memory is that of eager release.

Python frees a value when its last name goes. Where that matters, dead names are deleted, as few
lines as keep the peak, and in a run without slack a value takes over the name of its dead parent.
Small values are left alone: a forward pass that holds less than a megabyte has no such lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hatch_irpytorch.emit.fusion.ops import FusedLinears
from hatch_irpytorch.ir.graph import Graph, Node, numel

SMALL = 2**18
"""Entries that may be held in any case: a megabyte of float32."""

_WITHOUT_MEMORY = frozenset({"input", "const", "rand_uniform"})
_STRIDED_VIEWS = frozenset({"broadcast_to", "part", "permute", "transpose"})
_NO_HEIR = frozenset({"part", "safe_log"})
"""`part` has no line, and `safe_log` reads its second parent after its own name is bound."""
_RESHAPES = frozenset({"reshape", "flatten"})


@dataclass(frozen=True)
class Variables:
    """The variable of each node, and the names that are deleted before a node is computed."""

    of: dict[int, str]
    deleted: dict[int, tuple[str, ...]]


def assign_variables(graph: Graph, nodes: Sequence[Node]) -> Variables:
    """`v{id}` for each of `nodes`, the live ones in order, and what keeps the peak low."""
    if sum([_entries(node) for node in nodes]) > SMALL:
        memory = _Memory(graph, nodes)
        peak = memory.peak()
        if memory.total > max(peak, SMALL):
            return _Assignment(memory, nodes, max(peak, SMALL)).run()
    return Variables({node.id: f"v{node.id}" for node in nodes}, {})


class _Memory:
    """Sizes in entries: what a node allocates, whose memory it shares, and where they die.

    What the caller or the module holds anyway, the input and the parameters, never dies.
    """

    def __init__(self, graph: Graph, nodes: Sequence[Node]) -> None:
        self.nodes = nodes
        self.owner: dict[int, int] = {}
        self.size: dict[int, int] = {}
        self.dying: dict[int, list[int]] = {node.id: [] for node in nodes}
        strided: set[int] = set()
        last_use: dict[int, int] = {}
        for node in nodes:
            self._place(node, strided)
            for parent in node.parents:
                last_use[parent] = node.id
        for output in graph.output_ids:
            last_use.pop(output, None)
        for value, user in last_use.items():
            if self.size[self.owner[value]]:
                self.dying[user].append(value)
        self.total = sum(self.size.values())

    def _place(self, node: Node, strided: set[int]) -> None:
        kind = node.op.tag
        shares = kind in _STRIDED_VIEWS or kind == "detach"
        if kind in _RESHAPES:
            shares = node.parents[0] not in strided
        if shares:
            self.owner[node.id] = self.owner[node.parents[0]]
            if kind in _STRIDED_VIEWS or node.parents[0] in strided:
                strided.add(node.id)
        else:
            self.owner[node.id] = node.id
            self.size[node.id] = 0 if kind in _WITHOUT_MEMORY else _entries(node)

    def peak(self) -> int:
        """The entries held at most when every value is released after its last use."""
        held = _Held(self)
        peak = 0
        for node in self.nodes:
            held.add(node.id)
            peak = max(peak, held.entries)
            held.release(self.dying[node.id])
        return peak


def _entries(node: Node) -> int:
    if isinstance(node.op, FusedLinears):
        return numel(node.shape[:-1]) * sum(node.op.widths)
    return numel(node.shape)


@dataclass
class _Held:
    """The values with a name, and the entries that they keep."""

    memory: _Memory
    entries: int = 0
    names: dict[int, int] = field(default_factory=dict)

    def add(self, value: int) -> None:
        owner = self.memory.owner[value]
        if not self.names.get(owner):
            self.entries += self.memory.size[owner]
        self.names[owner] = self.names.get(owner, 0) + 1

    def release(self, values: Iterable[int]) -> None:
        for value in values:
            owner = self.memory.owner[value]
            self.names[owner] -= 1
            if not self.names[owner]:
                self.entries -= self.memory.size[owner]


class _Assignment:
    def __init__(self, memory: _Memory, nodes: Sequence[Node], bound: int) -> None:
        self.memory = memory
        self.nodes = nodes
        self.bound = bound
        self.held = _Held(memory)
        self.dead: list[int] = []
        self.variables = Variables({}, {})

    def run(self) -> Variables:
        for node, following in zip(self.nodes, [*self.nodes[1:], None], strict=True):
            if self.dead and self.held.entries + self._new(node) > self.bound:
                self._delete_before(node)
            self.held.add(node.id)
            dying = self.memory.dying[node.id]
            heir = None
            if following is not None and not self.dead and node.op.tag not in _NO_HEIR:
                heir = self._parent_that_gives_its_name(dying, following)
            if heir is None:
                self.variables.of[node.id] = f"v{node.id}"
            else:
                self.variables.of[node.id] = self.variables.of[heir]
                self.held.release([heir])
            self.dead += [value for value in dying if value != heir]
        return self.variables

    def _new(self, node: Node) -> int:
        return self.memory.size.get(node.id, 0)

    def _delete_before(self, node: Node) -> None:
        names = tuple(self.variables.of[value] for value in sorted(self.dead))
        self.variables.deleted[node.id] = names
        self.held.release(self.dead)
        self.dead = []

    def _parent_that_gives_its_name(self, dying: list[int], following: Node) -> int | None:
        """A dying value whose release alone makes room for the next node, where there is none."""
        room = self.bound - self.held.entries
        wanted = self._new(following)
        if wanted <= room:
            return None
        for value in dying:
            owner = self.memory.owner[value]
            freed = self.memory.size[owner] if self.held.names[owner] == 1 else 0
            if wanted <= room + freed:
                return value
        return None
