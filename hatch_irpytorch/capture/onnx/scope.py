"""What names mean: one scope for each graph and each call of a function, inside one another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx

from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Reals, Value, as_stored

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Constant = np.ndarray[Any, np.dtype[Any]]
Tensor = Value | Constant


@dataclass(eq=False)
class Named:
    """What a name stands for: numbers, a value of the graph, or None where it has no form.

    `kind` is its ONNX element type (`TensorProto.DataType`) and `users` how often it is read.
    `key` is what the file calls an initializer. `trainable` numbers are parameters as they are;
    their `holder` is the first that took a copy. What stands for the result of a refused node is
    `failed`: the conversion goes on with it, so that the rest is looked at too.
    """

    tensor: Tensor | None
    kind: int
    trainable: bool = False
    failed: bool = False
    users: int = 0
    stored: Value | None = None
    holder: object = None
    key: str = ""

    @property
    def lost(self) -> bool:
        """Whether it is of a refused node and nothing stands in for it."""
        return self.failed and self.tensor is None

    def value(self, builder: Builder, name: str) -> Value:
        """The tensor as a node of the graph; several uses of one constant share it."""
        if isinstance(self.tensor, Value):
            return self.tensor
        if self.tensor is None:
            raise InexpressibleError(f"the output `{name}`, which has no form")
        if self.stored is None:
            numbers = reals(self.tensor)
            learned = self.trainable and numbers.size > 1 and not _is_mask(numbers)
            numbers = builder.named(numbers, self.key) if self.key else numbers
            self.stored = builder.const(numbers, learned, name=name if self.trainable else "")
        return self.stored


ABSENT = Named(None, int(onnx.TensorProto.UNDEFINED))
"""What a function's input means where a call does not give it."""

LOST = Named(None, int(onnx.TensorProto.UNDEFINED), failed=True)
"""What an input of a graph means that is looked into and not run."""


@dataclass(eq=False)
class Scope:
    """The names of a graph, of a branch or of a call; what it lacks, the scope around it may have.

    `reads` counts how often each of its names is read, also by graphs inside. `attributes` are
    those that the call of a function gives. `bare_products` are products by a matrix that an
    addition may still make into affine maps, by the id of their value; all scopes share them.
    """

    builder: Builder
    opsets: Mapping[str, int]
    reads: Mapping[str, int] = field(default_factory=dict)
    outer: Scope | None = None
    attributes: Mapping[str, onnx.AttributeProto] = field(default_factory=dict)
    bare_products: dict[int, tuple[Value, Reals]] = field(default_factory=dict)
    names: dict[str, Named] = field(default_factory=dict)

    def inside(self, reads: Mapping[str, int]) -> Scope:
        """The scope of a graph inside this one, whose names it sees."""
        return Scope(self.builder, self.opsets, reads, self, self.attributes, self.bare_products)

    def called(
        self,
        opsets: Mapping[str, int],
        reads: Mapping[str, int],
        attributes: Mapping[str, onnx.AttributeProto],
    ) -> Scope:
        """The scope of a function that is called here, which sees no names of this one."""
        return Scope(self.builder, opsets, reads, None, attributes, self.bare_products)

    def find(self, name: str) -> Named | None:
        """What a name means here: the innermost scope that has it says so."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.outer
        return None

    def named(self, name: str) -> Named:
        found = self.find(name)
        if found is None:
            raise InexpressibleError(f"its input `{name[:200]}` is not defined before it")
        return found

    def bind(self, name: str, named: Named) -> None:
        """Give a name its meaning, which is new."""
        named.users = self.reads.get(name, 0)
        self.names[name] = named

    def share(self, name: str, named: Named) -> None:
        """Give a name the meaning that another name has outside: one reader there is this scope."""
        if named is not ABSENT and named is not LOST:
            named.users += self.reads.get(name, 0) - 1
        self.names[name] = named

    def count_again(self, reads: Mapping[str, int]) -> None:
        """What a graph reads that is run more than once is read more than once."""
        for name, number in reads.items():
            found = self.find(name)
            if found is not None and found is not ABSENT:
                found.users += number

    def version(self, domain: str) -> int:
        return self.opsets.get("" if domain == "ai.onnx" else domain, 1)


_BLOCKING = -1e4
"""What exporters write for minus infinity is this or less."""


def _is_mask(numbers: Reals) -> bool:
    """Whether numbers are 0 where something is let through and far below it elsewhere."""
    blocked = numbers <= _BLOCKING
    return bool(blocked.any() and (blocked | (numbers == 0.0)).all())


def reals(array: Constant) -> Reals:
    """Numbers as real ones; what is true is 1."""
    if array.dtype.kind not in "bfiu" and array.dtype.name != "bfloat16":
        raise InexpressibleError(f"a tensor of {array.dtype.name}")
    return as_stored(array)


def count_reads(nodes: Iterable[onnx.NodeProto], outputs: Iterable[str]) -> Counter[str]:
    """How often each name is read: by nodes, as an output, and by graphs inside the nodes."""
    reads: Counter[str] = Counter(outputs)
    for node in nodes:
        reads.update(name for name in node.input if name)
        for graph in graphs_of(node):
            inner = count_reads(graph.node, (value.name for value in graph.output))
            own = _written(graph)
            reads.update({name: count for name, count in inner.items() if name not in own})
    return reads


def graphs_of(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs that stand in the attributes of a node."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _written(graph: onnx.GraphProto) -> set[str]:
    return {
        *(value.name for value in graph.input),
        *(tensor.name for tensor in graph.initializer),
        *(name for node in graph.node for name in node.output),
    }


def resolved(node: onnx.NodeProto, scope: Scope) -> onnx.NodeProto:
    """The node with what the call of its function gives, and without inputs that it does not."""
    refers = any(attribute.ref_attr_name for attribute in node.attribute)
    missing = [name for name in node.input if name and scope.find(name) is ABSENT]
    if not refers and not missing:
        return node
    result = onnx.NodeProto()
    result.CopyFrom(node)
    for position, name in enumerate(node.input):
        if name in missing:
            result.input[position] = ""
    del result.attribute[:]
    for attribute in node.attribute:
        given = attribute
        if attribute.ref_attr_name:
            if attribute.ref_attr_name not in scope.attributes:
                continue
            given = scope.attributes[attribute.ref_attr_name]
        added = result.attribute.add()
        added.CopyFrom(given)
        added.name = attribute.name
    return result
