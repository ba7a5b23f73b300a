"""Decisions about a module as plain data: names, tensors, statements. No text is laid out here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from hatch_irpytorch.emit.modules.forms import ClassForm, Form, Loop
from hatch_irpytorch.ir.graph import Node
from hatch_irpytorch.ir.ops import Mask, attribute_name
from hatch_irpytorch.ir.ops.code import Code, Function, mapped
from hatch_irpytorch.ir.shapes import Shape, numel
from hatch_irpytorch.ir.symbolic import SymbolicShape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Declaration:
    """How tensors of nodes that are alike are held: their names differ in the node's id alone.

    `learned`: a parameter, else a buffer. `saved`: whether it is part of the state dict.
    """

    prefix: str
    suffix: str
    shape: Shape
    learned: bool
    saved: bool = True

    def name(self, node_id: int | str) -> str:
        return attribute_name(self.prefix, node_id, self.suffix)


class Tensor(msgspec.Struct, frozen=True, gc=False):
    """One tensor that `__init__` makes. Its value is `code`, the booleans of `mask`, or `values`,
    which are as they are stored and still have to be rounded to the dtype of the module. `key` is
    its path of attributes in a module of several classes.
    """

    node_id: int
    declaration: Declaration
    values: Array | None = None
    code: Code | None = None
    mask: Mask | None = None
    key: str = ""

    @property
    def name(self) -> str:
        return self.key or self.declaration.name(self.node_id)

    @property
    def shape(self) -> Shape:
        return self.declaration.shape

    @property
    def learned(self) -> bool:
        return self.declaration.learned


@dataclass(frozen=True, eq=False)
class Template:
    """The code of nodes that are alike: in its texts `{0}` is the variable of the node, `{1}` its
    id, and the variables of its parents follow.

    The comment says the shape and, when that is `partial`, for which values the code is defined.
    """

    expressions: tuple[Code, ...]
    comment: str
    partial: bool = False

    def filled(self, names: Sequence[str | int]) -> tuple[Code, ...]:
        """The expressions with names in their places."""
        # A node may have parents by the thousand, so a place alone is looked up.
        known = {f"{{{place}}}": str(name) for place, name in enumerate(names)}

        def fill(text: str) -> str:
            if text in known:
                return known[text]
            return text.format(*names) if "{" in text else text

        return tuple(mapped(code, fill) for code in self.expressions)


class Statement(msgspec.Struct, frozen=True, gc=False):
    """The line of one node in `forward`."""

    node: Node
    template: Template


@dataclass(frozen=True)
class Variables:
    """By node, its variable, and the names that are deleted before it is computed.

    A variable is `v{id}`, unless a node is `renamed`: then it is that of a parent that ends here.
    """

    of: Sequence[str]
    deleted: Mapping[int, tuple[str, ...]]
    renamed: frozenset[int]

    def names(self, node: Node) -> tuple[str | int, ...]:
        """What stands in the places of a node's template."""
        return (self.of[node.id], node.id, *map(self.of.__getitem__, node.parents))


@dataclass(frozen=True)
class Skeleton:
    """What the training part needs to know. torchlean.ir.v1: 5.4."""

    output_is_loss: bool
    has_gradient: bool
    positive_input: bool
    graph_digest: str


@dataclass(frozen=True)
class ClassPlan:
    """The one class of `layout: graph`: what it holds, computes and returns."""

    tensors: tuple[Tensor, ...]
    statements: tuple[Statement, ...]
    variables: Variables
    returns: tuple[str, ...]

    @property
    def functions(self) -> tuple[Code, ...]:
        """Code whose functions the class needs."""
        return tuple(self.codes)

    @property
    def codes(self) -> Iterator[Code]:
        """The code of the statements and tensors, once for nodes that are alike."""
        templates = dict.fromkeys([statement.template for statement in self.statements])
        yield from (code for template in templates for code in template.expressions)
        yield from (tensor.code for tensor in self.tensors if tensor.code is not None)


@dataclass(frozen=True)
class ClassTree:
    """The classes of a file, each after those of its parts, the model, and all that they hold."""

    classes: tuple[ClassForm, ...]
    model: Form
    tensors: tuple[Tensor, ...]
    functions: tuple[Code, ...]
    """Code whose functions the classes need."""

    @property
    def codes(self) -> Iterator[Code]:
        """The code of all classes."""
        for form in (*(part.form for part in self.classes), self.model):
            yield from (code for _, code in form.parts)
            for line in form.lines:
                yield line.line.code if isinstance(line, Loop) else line.code


class LaidOut(NamedTuple):
    """The text of a body: functions that it needs, its classes, its tables, line by line.

    `imports` are those of the standard library that the classes need besides.
    """

    functions: tuple[Function, ...]
    classes: list[list[str]]
    tables: list[str]
    imports: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModulePlan:
    """Everything that a generated file says. `body` is the class of the model, or the classes.

    `fixed_reason` says why no batch is free. `integers` is what the entries of the input are below,
    when they are whole numbers.
    """

    name: str
    dtype: str
    node_count: int
    input_shape: SymbolicShape
    integers: int | None
    output_shapes: tuple[SymbolicShape, ...]
    fixed_reason: str
    body: ClassPlan | ClassTree
    functions: tuple[Function, ...]
    skeleton: Skeleton | None
    weights_in_file: bool

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """What all classes hold."""
        return self.body.tensors

    @property
    def parameter_count(self) -> int:
        return sum(numel(tensor.shape) for tensor in self.tensors if tensor.learned)

    def has_table(self, tensor: Tensor) -> bool:
        """Whether the entries of a tensor stand in the source, in a table."""
        held = tensor.values is not None and not self.weights_in_file
        return (held or tensor.mask is not None) and numel(tensor.shape) > 0

    @cached_property
    def has_tables(self) -> bool:
        return any(map(self.has_table, self.tensors))

    @cached_property
    def in_file(self) -> tuple[Tensor, ...]:
        """The tensors whose entries stand in a weight file. Without any there is no file."""
        if not self.weights_in_file:
            return ()
        held = (tensor for tensor in self.tensors if tensor.values is not None)
        return tuple(tensor for tensor in held if numel(tensor.shape) > 0)
