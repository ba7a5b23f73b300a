"""Arity and shape rules on the tensor graph: every node, unused ones included."""

from __future__ import annotations

from collections.abc import Collection

from hatch_irpytorch.errors import Problems
from hatch_irpytorch.ir.graph import Graph, Node
from hatch_irpytorch.ir.lower import Unreadable
from hatch_irpytorch.ir.ops import RuleError
from hatch_irpytorch.ir.shapes import shape_text


def check_graph(graph: Graph, problems: Problems) -> Collection[int]:
    """Recompute every shape and report what differs; returns the ids of the sound nodes.

    A node is compared with what its parents declare, so that one mistake is told once.
    """
    unheard = Problems()
    good = [_check_node(graph, node, unheard) for node in graph.signature_nodes]
    if all(good):
        return range(len(graph.nodes))
    signatures = graph.signatures
    return frozenset(
        node.id
        for node in graph.nodes
        if good[signatures[node.id]] or _check_node(graph, node, problems)
    )


def _check_node(graph: Graph, node: Node, problems: Problems) -> bool:
    if isinstance(node.op, Unreadable):
        return False
    wanted, found = node.op.parents, len(node.parents)
    if found != wanted and not (wanted is None and found >= 2):
        expected = "two node ids or more" if wanted is None else _count(wanted)
        problems.mismatch("bad-arity", graph.place(node), "parents", expected, _count(found))
        return False
    try:
        inferred = node.op.infer(*graph.parent_shapes(node))
    except RuleError as error:
        place = graph.place(node)
        problems.mismatch("shape-mismatch", place, error.field, error.expected, error.found)
        return False
    if inferred != node.shape:
        expected = f"{shape_text(inferred)}, as the parents give it"
        found_text = shape_text(node.shape)
        problems.mismatch("shape-mismatch", graph.place(node), "shape", expected, found_text)
    return inferred == node.shape


def _count(number: int) -> str:
    return f"{number} node id" if number == 1 else f"{number} node ids"
