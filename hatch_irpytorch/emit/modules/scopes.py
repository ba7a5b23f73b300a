"""The nodes of a graph as a tree of modules, each computed in one go.

A node belongs to the module that it came from. Where values leave a module and come back, it can
not be called once: then it dissolves, and its nodes belong to the module around it.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from hatch_irpytorch.ir.keys import Path

Item = int | Path
"""A node, or a module that is called."""


@dataclass(frozen=True)
class Scope:
    """A module: what it computes, in order; modules among its items have a scope of their own."""

    path: Path
    items: tuple[Item, ...]
    children: Mapping[Path, Scope]

    def nodes(self) -> Iterator[int]:
        """The nodes of the module and of those inside."""
        for item in self.items:
            if isinstance(item, int):
                yield item
            else:
                yield from self.children[item].nodes()


def scope_tree(
    places: Mapping[int, Path], parents: Mapping[int, Iterable[int]], dissolved: Collection[Path]
) -> Scope:
    """The tree of modules of nodes, by where each came from and what it reads.

    `places` holds the nodes in an order in which they can be computed. No module is `dissolved`.
    """
    return _scope((), list(places), places, parents, set(dissolved))


def _scope(
    path: Path,
    nodes: list[int],
    places: Mapping[int, Path],
    parents: Mapping[int, Iterable[int]],
    dissolved: set[Path],
) -> Scope:
    while True:
        item_of = {node: _item(node, path, places[node], dissolved) for node in nodes}
        order = _ordered(item_of, parents)
        if isinstance(order, tuple):
            break
        dissolved |= order
    inside: dict[Path, list[int]] = {item: [] for item in order if isinstance(item, tuple)}
    for node, item in item_of.items():
        if isinstance(item, tuple):
            inside[item].append(node)
    children = {
        child: _scope(child, part, places, parents, dissolved) for child, part in inside.items()
    }
    return Scope(path, order, children)


def _item(node: int, path: Path, place: Path, dissolved: set[Path]) -> Item:
    """What a scope calls for a node: the node itself, or the outermost module that is whole."""
    for end in range(len(path) + 1, len(place) + 1):
        if place[:end] not in dissolved:
            return place[:end]
    return node


def _ordered(
    item_of: Mapping[int, Item], parents: Mapping[int, Iterable[int]]
) -> tuple[Item, ...] | set[Path]:
    """The items in an order in which they can be computed, or the modules of a circle."""
    first: dict[Item, int] = {}
    needs: dict[Item, set[Item]] = {}
    for position, (node, item) in enumerate(item_of.items()):
        first.setdefault(item, position)
        before = needs.setdefault(item, set())
        before.update(
            item_of[parent]
            for parent in parents[node]
            if parent in item_of and item_of[parent] != item
        )
    sorter = TopologicalSorter(needs)
    try:
        sorter.prepare()
    except CycleError as error:
        return {item for item in error.args[1] if isinstance(item, tuple)}
    order: list[Item] = []
    ready: list[tuple[int, Item]] = []
    while sorter.is_active():
        for item in sorter.get_ready():
            heapq.heappush(ready, (first[item], item))
        _, item = heapq.heappop(ready)
        order.append(item)
        sorter.done(item)
    return tuple(order)
