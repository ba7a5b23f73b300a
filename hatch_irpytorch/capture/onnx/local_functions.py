"""The functions of a file: counted before they are inlined, for they may call each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx

from hatch_irpytorch.capture.budget import Budget, OverBudgetError
from hatch_irpytorch.errors import Place, fail, shown

Key = tuple[str, str, str]

MAX_DEPTH = 200
"""How many functions may call one another in a row."""


def without_functions(
    model: onnx.ModelProto, budget: Budget, limit: int, place: Place
) -> onnx.ModelProto:
    """The model with its own functions inlined.

    Raises `IRPyTorchError` (`capture-failed`) for functions that call themselves or nest too
    deeply, and `too-large` when inlining makes too many nodes or bytes.
    """
    from onnx import inliner

    functions = {(f.domain, f.name, f.overload): f for f in model.functions}
    if not functions:
        return model
    sizes, size = _Sizes(functions, place), 0
    for position, node in enumerate(model.graph.node):
        nodes, bytes_ = sizes.of([node])
        size += bytes_
        try:
            budget.spend(nodes=nodes)
        except OverBudgetError as error:
            where = Place(place.file, node=position, kind=node.op_type[:200])
            name = shown(node.name or next(iter(node.output), ""))
            message = f"{name}: {shown(node.op_type)} is too much: {error}"
            raise fail("too-large", where, message) from None
    if size > limit:
        message = f"the functions of the file have {size} bytes when inlined, at most {limit} are"
        raise fail("too-large", place, message)
    return inliner.inline_local_functions(model)


class _Sizes:
    """How many nodes and bytes a node stands for; each function is counted once."""

    def __init__(self, functions: dict[Key, onnx.FunctionProto], place: Place) -> None:
        self.functions = functions
        self.place = place
        self.known: dict[Key, tuple[int, int]] = {}
        self.open: list[Key] = []

    def of(self, nodes: Iterable[onnx.NodeProto]) -> tuple[int, int]:
        count, size = 0, 0
        for node in _with_inner(nodes):
            key = (node.domain, node.op_type, node.overload)
            more, bytes_ = self._function(key) if key in self.functions else (1, 0)
            count += more
            size += bytes_ + node.ByteSize()
        return count, size

    def _function(self, key: Key) -> tuple[int, int]:
        if key in self.open:
            raise fail("capture-failed", self.place, f"the function {shown(key[1])} calls itself")
        if key not in self.known:
            if len(self.open) >= MAX_DEPTH:
                message = f"functions call one another more than {MAX_DEPTH} deep"
                raise fail("capture-failed", self.place, f"{message}, at {shown(key[1])}")
            self.open.append(key)
            self.known[key] = self.of(self.functions[key].node)
            self.open.pop()
        return self.known[key]


def _with_inner(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """The nodes and those of the graphs inside them."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _with_inner(graph.node)
