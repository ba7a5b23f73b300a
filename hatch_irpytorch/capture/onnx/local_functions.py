"""The functions of a file: counted before any is called, for they may call each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx

from hatch_irpytorch.capture.budget import Budget, OverBudgetError
from hatch_irpytorch.capture.onnx.scope import graphs_of
from hatch_irpytorch.errors import Place, fail, shown

Key = tuple[str, str, str]

MAX_DEPTH = 100
"""How many functions may call one another in a row."""


def require_bounded(model: onnx.ModelProto, budget: Budget, place: Place) -> None:
    """Take the nodes of every call out of the budget.

    Raises `IRPyTorchError`: `capture-failed` for functions that call themselves or nest too
    deeply, `too-large` for the first node that stands for too many.
    """
    functions = {(f.domain, f.name, f.overload): f for f in model.functions}
    sizes = _Sizes(functions, place)
    for position, node in enumerate(model.graph.node):
        try:
            budget.spend(nodes=sizes.of([node]))
        except OverBudgetError as error:
            where = Place(place.file, node=position, kind=node.op_type[:200])
            name = shown(node.name or next(iter(node.output), ""))
            message = f"{name}: {shown(node.op_type)} is too much: {error}"
            raise fail("too-large", where, message) from None


class _Sizes:
    """How many nodes a node stands for; each function is counted once."""

    def __init__(self, functions: dict[Key, onnx.FunctionProto], place: Place) -> None:
        self.functions = functions
        self.place = place
        self.known: dict[Key, int] = {}
        self.open: list[Key] = []

    def of(self, nodes: Iterable[onnx.NodeProto]) -> int:
        count = 0
        for node in _with_inner(nodes):
            key = (node.domain, node.op_type, node.overload)
            count += self._function(key) if key in self.functions else 1
        return count

    def _function(self, key: Key) -> int:
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
        for graph in graphs_of(node):
            yield from _with_inner(graph.node)
