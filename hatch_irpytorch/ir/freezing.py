"""Which parameters of a model are learned, chosen by patterns over their names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fnmatch import translate
from typing import Any

from msgspec import structs

from hatch_irpytorch.errors import Place, Problems, nearest, shown
from hatch_irpytorch.ir.graph import Graph, Model, Node
from hatch_irpytorch.ir.ops import Const, Slot, attribute_name
from hatch_irpytorch.ir.ops.learned import LearnedArrays

_IN_PYTORCH = {"gamma": "weight", "beta": "bias"}
"""What PyTorch calls the arrays of a normalisation."""


def with_learned(model: Model, freeze: Sequence[str] = (), learn: Sequence[str] = ()) -> Model:
    """The model whose parameters that `freeze` matches are not learned, those of `learn` are.

    Patterns are those of `fnmatch`, over the names of a state dict (`linear_3_W`), the places that
    nodes came from (`layer1.conv`) and both together (`layer1.conv.weight`). `learn` counts where
    both match. Raises `bad-option` for a pattern that matches nothing.
    """
    if not freeze and not learn:
        return model
    graph = model.graph
    problems = Problems()
    choices = [
        *_choices(graph, "freeze", freeze, problems, learned=False),
        *_choices(graph, "learn", learn, problems, learned=True),
    ]
    problems.raise_if_any()
    nodes = list(graph.nodes)
    for node_id, field, learned in choices:
        nodes[node_id] = _with_flag(nodes[node_id], field, learned)
    return replace(model, graph=replace(graph, nodes=tuple(nodes)))


def _choices(
    graph: Graph, option: str, patterns: Sequence[str], problems: Problems, *, learned: bool
) -> Iterator[tuple[int, str, bool]]:
    """What patterns choose: a node, its array, whether that is learned."""
    for pattern in patterns:
        matches = re.compile(translate(pattern)).match
        found = [
            (node.id, slot.field, learned)
            for node, slot in _parameters(graph)
            if any(map(matches, _names(node, slot)))
        ]
        if not found:
            known = {name for node, slot in _parameters(graph) for name in _names(node, slot)}
            message = f"`{option}`: no parameter has a name like {shown(pattern)}"
            problems.add("bad-option", Place(graph.file), message, nearest(pattern, known))
        yield from found


def _parameters(graph: Graph) -> Iterator[tuple[Node, Slot]]:
    """The arrays that may be learned, each with its node."""
    for node in graph.nodes:
        for slot in graph.slots(node):
            if isinstance(node.op, Const) or slot.field in _flags(node).names():
                yield node, slot


def _flags(node: Node) -> LearnedArrays:
    op: Any = node.op
    flags: LearnedArrays = op.learnable
    return flags


def _names(node: Node, slot: Slot) -> tuple[str, ...]:
    own = attribute_name(node.op.prefix, node.id, slot.name)
    if not node.origin:
        return (own,)
    return own, node.origin, f"{node.origin}.{_IN_PYTORCH.get(slot.field, slot.field)}"


def _with_flag(node: Node, field: str, learned: bool) -> Node:
    op: Any = node.op
    flag = learned if isinstance(op, Const) else structs.replace(_flags(node), **{field: learned})
    return structs.replace(node, op=replace(op, learnable=flag))
