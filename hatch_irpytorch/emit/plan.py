"""Decisions about a module as plain data: names, bindings, statements. No text is laid out here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from hatch_irpytorch.ir.code import Code, Function, mapped
from hatch_irpytorch.ir.graph import Node
from hatch_irpytorch.ir.ops import Mask, attribute_name
from hatch_irpytorch.ir.shapes import Shape, numel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


class Attribute(NamedTuple):
    """A tensor that modules hold for nodes that are alike; its name has the id of the node in it.

    `saved`: whether it is part of the state dict.
    """

    prefix: str
    suffix: str
    shape: Shape
    learned: bool
    saved: bool = True

    def name(self, node_id: int | str) -> str:
        return attribute_name(self.prefix, node_id, self.suffix)

    def table_name(self, node_id: int | str) -> str:
        """The constant of a generated module that holds the entries."""
        return self.name(node_id).upper()


class Binding(NamedTuple):
    """One tensor of `__init__`. Its value is `code`, the booleans of `mask`, or `values`, which are
    as they are stored and still have to be rounded to the dtype of the module.
    """

    node_id: int
    attribute: Attribute
    values: Array | None = None
    code: Code | None = None
    mask: Mask | None = None

    @property
    def name(self) -> str:
        return self.attribute.name(self.node_id)

    @property
    def shape(self) -> Shape:
        return self.attribute.shape

    @property
    def learned(self) -> bool:
        return self.attribute.learned


class Form(NamedTuple):
    """What nodes that are alike say: in its texts `{0}` is the name of the node, `{1}` its id, and
    the names of its parents follow.

    The value of each expression is bound to `target`; the shape of the node and `domain` are a
    remark. Nodes that have the name of a parent say their own id.
    """

    expressions: tuple[Code, ...]
    domain: str = ""
    target: str = "{0}"
    says_id: bool = False


@dataclass(frozen=True)
class Variables:
    """By node, its variable, and the names that are deleted before it is computed.

    A variable is `v{id}`, unless a node is `renamed`: then it is that of a parent that ends here.
    """

    of: Sequence[str]
    deleted: Mapping[int, tuple[str, ...]]
    renamed: frozenset[int]


@dataclass(frozen=True)
class Skeleton:
    """What the training part needs to know. torchlean.ir.v1: 5.4."""

    output_is_loss: bool
    has_gradient: bool
    positive_input: bool
    graph_digest: str


@dataclass(frozen=True)
class ModulePlan:
    """Everything a generated module says; `said` has what each of the `nodes` of `forward` says."""

    class_name: str
    dtype: str
    node_count: int
    input_shape: Shape
    output_shapes: tuple[Shape, ...]
    bindings: tuple[Binding, ...]
    forms: tuple[Form, ...]
    nodes: Sequence[Node]
    said: Sequence[Form]
    variables: Variables
    returns: tuple[str, ...]
    functions: tuple[Function, ...]
    skeleton: Skeleton | None
    weights_in_file: bool

    @property
    def parameter_count(self) -> int:
        groups = alike(self.bindings)
        return sum(numel(a.shape) * len(indexes) for a, indexes in groups if a.learned)

    def has_table(self, binding: Binding) -> bool:
        """Whether the entries of a binding stand in the source, in a table."""
        held = binding.values is not None and not self.weights_in_file
        return (held or binding.mask is not None) and numel(binding.attribute.shape) > 0

    @cached_property
    def has_tables(self) -> bool:
        return any(map(self.has_table, self.bindings))

    @cached_property
    def in_file(self) -> tuple[Binding, ...]:
        """The bindings whose entries stand in a weight file. Without any there is no file."""
        if not self.weights_in_file:
            return ()
        held = (binding for binding in self.bindings if binding.values is not None)
        return tuple(binding for binding in held if numel(binding.shape) > 0)

    def names(self, node: Node) -> tuple[object, ...]:
        """What the places of a node's form stand for."""
        names = self.variables.of
        return (names[node.id], node.id, *[names[parent] for parent in node.parents])

    def expressions(self, node: Node, form: Form) -> tuple[Code, ...]:
        """The expressions of a node with the names in their places."""
        places = self.names(node)
        # A node may have parents by the thousand, so a place alone is looked up.
        known = {f"{{{place}}}": str(name) for place, name in enumerate(places)}

        def filled(text: str) -> str:
            if text in known:
                return known[text]
            return text.format(*places) if "{" in text else text

        return tuple(mapped(code, filled) for code in form.expressions)


def alike(bindings: Sequence[Binding]) -> list[tuple[Attribute, list[int]]]:
    """Each attribute with the positions of its bindings."""
    found: dict[int, list[int]] = defaultdict(list)
    for index, binding in enumerate(bindings):
        found[id(binding.attribute)].append(index)
    return [(bindings[indexes[0]].attribute, indexes) for indexes in found.values()]


_TOGETHER = 8192
_Item = TypeVar("_Item")


def blocks(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    """What is looked at at once: as many items as stay in the processor's cache."""
    for start in range(0, len(items), _TOGETHER):
        yield items[start : start + _TOGETHER]
