"""Nodes of a file that have no form: each is told once, and something stands in for its results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper, numpy_helper

from hatch_irpytorch.capture.builder import InexpressibleError, Value, first_line
from hatch_irpytorch.capture.onnx.functions import input_types
from hatch_irpytorch.capture.onnx.kinds import REALS, UNTOLD
from hatch_irpytorch.capture.onnx.scope import ABSENT, LOST, Named, Scope
from hatch_irpytorch.capture.onnx.validity import LARGE, Types, types_of
from hatch_irpytorch.errors import Problem
from hatch_irpytorch.ir.ops import RuleError

Where = tuple[object, ...]
"""Which node of a file: its position, or its function, and the way to it through graphs inside."""


@dataclass
class RefusedNodes:
    """What was refused so far: a node that several calls or trips run is one of the file."""

    _found: dict[tuple[Where, str], list[Problem]] = field(default_factory=dict)

    def add(self, where: Where, why: str, problem: Problem) -> None:
        self._found.setdefault((where, why), []).append(problem)

    def problems(self) -> Iterator[Problem]:
        """One for each node and reason, at the first place, in the order of the conversion."""
        for first, *others in self._found.values():
            yield first._replace(hint=f"{1 + len(others)} times") if others else first


def stand_ins(node: onnx.NodeProto, scope: Scope, known: Types) -> Iterator[tuple[str, Named]]:
    """What each result of a refused node is bound to: an input of its shape, as far as it is known.

    `known` types of names stand above those that the inputs of the node tell. What depends on no
    input has none: where a constant is needed, an input would be refused for that.
    """
    given = [scope.find(name) for name in node.input if name]
    changes = any(named is not None and isinstance(named.tensor, Value) for named in given)
    types = {**_inferred_types(node, scope), **known} if changes else known
    for name in filter(None, node.output):
        kind, shape = types.get(name, (UNTOLD, None))
        tensor = None
        if changes and kind in REALS and shape is not None:
            with suppress(InexpressibleError):
                tensor = scope.builder.input(shape)
        yield name, Named(tensor, kind, failed=True)


def graphs_that_may_run(node: onnx.NodeProto, scope: Scope) -> Iterator[tuple[str, list[Named]]]:
    """The attributes that hold graphs of a node that is not run, and what is known of their inputs.

    A branch may run where the numbers of the input choose it; what a refused node would have given
    may as well choose the other.
    """
    given = [scope.find(name) or ABSENT for name in node.input]
    if node.op_type == "If" and not isinstance(given[0].tensor, Value):
        return
    first = 2 if node.op_type == "Loop" else len(given)
    for attribute in node.attribute:
        if attribute.HasField("g"):
            inputs = [LOST] * len(attribute.g.input)
            inputs[first : len(given)] = given[first:]
            yield attribute.name, inputs


def _inferred_types(node: onnx.NodeProto, scope: Scope) -> Types:
    """What the standard infers of a node; nothing where it does not have it, or its rule fails."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    types, data = {}, {}
    for name, (kind, shape) in input_types(node, scope).items():
        types[name] = helper.make_tensor_type_proto(kind, shape)
        tensor = scope.named(name).tensor
        if isinstance(tensor, np.ndarray) and tensor.nbytes <= LARGE:
            data[name] = numpy_helper.from_array(tensor, name)
    try:
        schema = onnx.defs.get_schema(node.op_type, scope.version(node.domain), domain)
        imports = [helper.make_opsetid(*pair) for pair in scope.opsets.items()]
        infer = onnx.shape_inference.infer_node_outputs
        return types_of(infer(schema, node, types, data, opset_imports=imports))
    except Exception:  # what its C++ code raises
        return {}


def said(error: Exception) -> str:
    """What an exception says; those that say a key or nothing are called by their type."""
    name = "" if isinstance(error, ValueError | RuleError) else f"{type(error).__name__}: "
    return f"{name}{first_line(error)}"
