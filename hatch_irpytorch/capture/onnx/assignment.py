"""Each name of a graph is written once: by its inputs, its initializers or one node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import onnx

from hatch_irpytorch.errors import Place, Problems, shown


def require_single_assignment(model: onnx.ModelProto, place: Place) -> None:
    """Raise `capture-failed` for every name that a graph or a function of a file writes twice."""
    problems = Problems()
    for position, node in enumerate(model.graph.node):
        where = Place(place.file, node=position, kind=node.op_type[:200])
        for graph in _inner(node):
            _look_at_graph(graph, where, problems)
    _look_at_graph(model.graph, place, problems, outermost=True)
    for function in model.functions:
        names = dict.fromkeys(function.input, "an input")
        _look_at_nodes(function.node, names, place, problems)
        for node in function.node:
            for graph in _inner(node):
                _look_at_graph(graph, place, problems)
    problems.raise_if_any()


def _inner(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs inside a node, and those inside them."""
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield graph
            for part in graph.node:
                yield from _inner(part)


def _look_at_graph(
    graph: onnx.GraphProto, place: Place, problems: Problems, *, outermost: bool = False
) -> None:
    writers: dict[str, str] = {}
    # An initializer may give an input its value: only each list by itself has a name once.
    for what, values in (
        ("input", [value.name for value in graph.input]),
        ("output", [value.name for value in graph.output]),
        ("initializer", [tensor.name for tensor in graph.initializer]),
    ):
        for name in (name for name, count in Counter(values).items() if count > 1):
            problems.add("capture-failed", place, f"the {what} {shown(name)} is there twice")
        if what != "output":
            writers |= dict.fromkeys(values, f"an {what}")
    _look_at_nodes(graph.node, writers, place, problems, outermost=outermost)


def _look_at_nodes(
    nodes: Sequence[onnx.NodeProto],
    writers: dict[str, str],
    place: Place,
    problems: Problems,
    *,
    outermost: bool = False,
) -> None:
    for position, node in enumerate(nodes):
        where = Place(place.file, node=position, kind=node.op_type[:200]) if outermost else place
        for name in filter(None, node.output):
            if name in writers:
                message = f"{shown(name)} is written here and by {writers[name]}"
                problems.add("capture-failed", where, message, "a name is written once")
            writers.setdefault(name, f"node {position} ({shown(node.op_type)})")
