"""Where the nodes and arrays of a graph stand in the modules of its source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hatch_irpytorch.emit.modules.layers import owner_of
from hatch_irpytorch.ir.graph import Graph, Node
from hatch_irpytorch.ir.keys import Keys, Path, place_of
from hatch_irpytorch.ir.ops import Const


@dataclass(frozen=True)
class Places:
    """By node: where it is computed, and the layer that it is. `fixed` are made of constants alone
    and are computed wherever they are read.
    """

    of: Mapping[int, Path]
    layers: Mapping[int, Path]
    fixed: frozenset[int]
    dissolved: frozenset[Path]


def places_of(
    graph: Graph,
    nodes: Sequence[Node],
    keys: Keys,
    learned: Collection[int],
    layered: Collection[int],
    single: Collection[int],
) -> Places:
    """The places of the nodes that are live, by the keys of what they hold.

    `learned` are consts, `layered` the nodes that a layer may compute, `single` those whose code is
    one expression.
    """
    fixed = _fixed(nodes, learned, single)
    arrays = {tuple(key.split(".")) for key in keys.values()}
    origin = {node.id: outside(place_of(node), arrays) for node in nodes}
    candidates = [node for node in nodes if node.id in layered]
    layers = _layers(graph, candidates, origin, keys)
    activations = _activations(graph, origin, layered, keys)
    owners = {key: tuple(key.split("."))[:-1] for key in keys.values()}
    found: dict[int, Path] = {}
    for node in nodes:
        if node.id in fixed or isinstance(node.op, Const) or node.id == graph.input_id:
            continue
        if node.id in layers or node.id in activations:
            found[node.id] = (layers.get(node.id) or activations[node.id])[:-1]
            continue
        place = origin[node.id]
        for owner in _read(graph, node, keys, learned, owners):
            place = _common(place, owner)
        found[node.id] = place
    layers = {**layers, **activations}
    _lift_single(found, layers.values(), owners.values())
    dissolved = frozenset(
        path[:end]
        for path in (*found.values(), *layers.values(), *owners.values())
        for end in range(1, len(path))
        if path[end].isdecimal()
    )
    return Places(found, layers, fixed, dissolved)


def outside(place: Path, arrays: Collection[Path]) -> Path:
    """A place, or the one around it that no array has the name of."""
    for end in range(1, len(place) + 1):
        if place[:end] in arrays:
            return place[: end - 1]
    return place


def _fixed(
    nodes: Sequence[Node], learned: Collection[int], single: Collection[int]
) -> frozenset[int]:
    """The nodes that only fixed consts go into, consts among them."""
    found: set[int] = set()
    for node in nodes:
        is_const = isinstance(node.op, Const) and node.id not in learned
        made = node.id in single and not node.op.payload_fields and node.parents
        if is_const or (made and found.issuperset(node.parents)):
            found.add(node.id)
    return frozenset(found)


def _layers(
    graph: Graph, candidates: Sequence[Node], origin: Mapping[int, Path], keys: Keys
) -> dict[int, Path]:
    """The candidates that are a layer of their own, which nothing else is a part of."""
    owners: dict[int, Path] = {}
    for node in candidates:
        owner = owner_of(graph, node, keys)
        if owner is not None:
            owners[node.id] = owner
    held = Counter(node_id for node_id, _ in keys)
    inside: Counter[Path] = Counter()
    for key in keys.values():
        path = tuple(key.split("."))
        inside.update(path[:end] for end in range(1, len(path)))
    for node_id, place in origin.items():
        parts = (place[:end] for end in range(1, len(place) + 1))
        inside.update(part for part in parts if part != owners.get(node_id))
    return {node_id: owner for node_id, owner in owners.items() if inside[owner] == held[node_id]}


def _activations(
    graph: Graph, origin: Mapping[int, Path], layered: Collection[int], keys: Keys
) -> dict[int, Path]:
    """The nodes that alone are a numbered part of a sequence, and layers without arrays."""
    at: dict[Path, list[int]] = {}
    for node_id, place in origin.items():
        for end in range(1, len(place) + 1):
            at.setdefault(place[:end], []).append(node_id)
    taken: set[Path] = set()
    for key in keys.values():
        path = tuple(key.split("."))
        taken.update(path[:end] for end in range(1, len(path)))
    return {
        node_id: place
        for place, (node_id, *others) in at.items()
        if place[-1].isdecimal() and not others and node_id in layered and place not in taken
        if not graph.slots(graph.nodes[node_id])
    }


def _read(
    graph: Graph,
    node: Node,
    keys: Keys,
    learned: Collection[int],
    owners: Mapping[str, Path],
) -> Iterable[Path]:
    """Where the arrays that a node computes with are held."""
    for slot in graph.slots(node):
        if (node.id, slot.field) in keys:
            yield owners[keys[node.id, slot.field]]
    for parent in node.parents:
        if parent in learned:
            yield owners[keys[parent, "values"]]


def _common(a: Path, b: Path) -> Path:
    end = 0
    while end < min(len(a), len(b)) and a[end] == b[end]:
        end += 1
    return a[:end]


def _lift_single(found: dict[int, Path], layers: Iterable[Path], owners: Iterable[Path]) -> None:
    """Put a node that alone is a module without arrays into the module around it."""
    inside: Counter[Path] = Counter()
    for path in (*found.values(), *layers, *owners):
        inside.update(path[:end] for end in range(1, len(path) + 1))
    for node_id, place in found.items():
        while place and inside[place] == 1:
            place = place[:-1]
        found[node_id] = place
